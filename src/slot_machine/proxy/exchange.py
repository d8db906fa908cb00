"""One request and its reply: claimed, sent to the app, answered or cut."""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Protocol

from slot_machine.core.upstream import Address
from slot_machine.proxy.messages import IDEMPOTENT, LAST_CHUNK, Refusal, ReplyHead, RequestHead, chunk
from slot_machine.proxy.routing import Cuttable, Route, Router

BODY_BUFFER = 262_144
"""Bytes of a request body that wait for a connection to the app before the client is made to wait."""


class App(Cuttable, Protocol):
    """A connection to the app, owned by one exchange at a time."""

    reused: bool

    def begin(self, exchange: "Exchange") -> None: ...
    def write(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def retire(self) -> None: ...
    def write_eof(self) -> None: ...
    def rest_in(self, idle: "list[App]") -> None: ...


class Client(Protocol):
    """The client's connection."""

    listener: str
    peer: str

    @property
    def closing(self) -> bool: ...

    def write(self, data: bytes) -> None: ...
    def pause(self, reason: str) -> None: ...
    def resume(self, reason: str) -> None: ...
    def page(self, status: HTTPStatus, why: str) -> None: ...
    def done(self, exchange: "Exchange", *, keep_alive: bool) -> None: ...
    def abort(self) -> None: ...
    def tunnel(self, app: App) -> None: ...


class Connector(Protocol):
    def connect(self, address: Address, exchange: "Exchange") -> "asyncio.Task[None]": ...


class Exchange:
    """Claims its upstream when its turn comes, and releases it in `_end`, whatever happens in between."""

    def __init__(self, client: Client, head: RequestHead, router: Router, connector: Connector) -> None:
        self.client = client
        self.head = head
        self.refusal: Refusal | None = None
        self.began_s = 0.0
        self.answering = False
        self._router = router
        self._connector = connector
        self._route: Route | None = None
        self._app: App | None = None
        self._opening: asyncio.Task[None] | None = None
        self._body: deque[bytes] = deque()
        self._buffered = 0
        self._body_done = False
        self._chunked_reply = False
        self._close_client = False
        self._stream = False
        self._ended = False

    @property
    def started(self) -> bool:
        return self.began_s > 0

    @property
    def waiting(self) -> bool:
        """Held: neither routed nor over."""
        return self._route is None and not self._ended

    def start(self, now_s: float) -> None:
        self.began_s = now_s
        if self.refusal:
            self._page(self.refusal.status, str(self.refusal))
        else:
            self._router.claim(self, self._claimed)

    def body(self, data: bytes) -> None:
        """A part of the request's body as the parser hands it out, without its framing."""
        if self._ended:
            return
        data = chunk(data) if self.head.chunked else data
        if self._app:
            self._app.write(data)
            return
        self._body.append(data)
        self._buffered += len(data)
        if self._buffered > BODY_BUFFER:
            self.client.pause("body")

    def body_done(self) -> None:
        self._body_done = True
        if self.head.chunked and not self._ended:
            if self._app:
                self._app.write(LAST_CHUNK)
            else:
                self._body.append(LAST_CHUNK)

    def opened(self, app: App) -> None:
        """The connection to the app is there: everything known of the request goes out."""
        self._opening = None
        if self._ended:
            app.retire()
            return
        self._app = app
        app.begin(self)
        trusted = self.client.peer in ("127.0.0.1", "::1")
        app.write(self.head.serialise(self.client.peer, trusted=trusted) + b"".join(self._body))
        self._body.clear()
        self._buffered = 0
        self.client.resume("body")

    def not_opened(self, why: str) -> None:
        self._opening = None
        self._page(HTTPStatus.BAD_GATEWAY, f"the app refused the connection: {why}")

    def interim(self, status: int, head: ReplyHead) -> None:
        """A 1xx reply other than 101, which HTTP/1.0 clients don't know."""
        if self.head.version == "1.1":
            self.client.write(head.serialise(status, chunked=False, close=False, upgrade=False))

    def reply_head(self, status: int, head: ReplyHead, *, delimited: bool) -> None:
        """`delimited`: the reply says where it ends, by Content-Length or by having no body."""
        self.answering = True
        self._stream = any(n.lower() == b"content-type" and v.startswith(b"text/event-stream") for n, v in head.headers)
        self._chunked_reply = not delimited and self.head.version == "1.1"
        self._close_client = not self.head.keep_alive or not (delimited or self._chunked_reply)
        close = self._close_client or self.client.closing
        self.client.write(head.serialise(status, chunked=self._chunked_reply, close=close, upgrade=False))

    def reply_body(self, data: bytes) -> None:
        self.client.write(chunk(data) if self._chunked_reply else data)

    def reply_done(self, *, app_reusable: bool) -> None:
        """The app's reply is complete; its connection goes back to the idle ones if it can serve another request."""
        if self._chunked_reply:
            self.client.write(LAST_CHUNK)
        app, route = self._app, self._route
        if app and route and app_reusable and self._body_done and route.current:
            app.rest_in(route.idle[self.client.listener])
        elif app:
            app.retire()
        self._app = None
        self._end(finished=True)
        self.client.done(self, keep_alive=self._body_done and not self._close_client)

    def upgraded(self, head: ReplyHead) -> None:
        """101: from here on the two connections carry bytes for each other."""
        assert self._app
        self.answering = self._stream = True
        self.client.write(head.serialise(101, chunked=False, close=False, upgrade=True))
        app, self._app = self._app, None
        self.client.tunnel(app)

    def app_lost(self, why: str) -> None:
        """The app's connection ended before the reply did."""
        app, self._app = self._app, None
        if self._ended:
            return
        if self.answering:
            tunnel = app is None
            self._end(finished=tunnel)
            if not tunnel:
                self.client.abort()
        elif app and app.reused and self._route:
            # Nothing was answered, and only requests that may be repeated go out on a reused connection.
            self._route.counts.replayed += 1
            self._connect(self._route, fresh=True)
        else:
            self._page(HTTPStatus.BAD_GATEWAY, why)

    def bad_reply(self, why: str) -> None:
        """What the app sent is not HTTP, or could be understood in two ways."""
        app, self._app = self._app, None
        if app:
            app.cut()
        if self.answering:
            self._end(finished=False)
            self.client.abort()
        elif not self._ended:
            self._page(HTTPStatus.BAD_GATEWAY, why)

    @property
    def request_done(self) -> bool:
        return self._body_done

    def pause_reply(self) -> None:
        if self._app:
            self._app.pause_reading()

    def resume_reply(self) -> None:
        if self._app:
            self._app.resume_reading()

    def timed_out(self, status: HTTPStatus, why: str) -> None:
        if not self.answering and not self._ended:
            self._drop_app()
            self._page(status, why)

    def client_left(self) -> None:
        self._router.give_up(self)
        self._drop_app()
        self._end(finished=True)

    def cut(self) -> None:
        """The upstream's processes are gone, or the data plane ends."""
        self._drop_app()
        if self.answering:
            self._end(finished=False)
            self.client.abort()
        elif not self._ended:
            self._page(HTTPStatus.BAD_GATEWAY, "the app stopped before it answered")

    def _claimed(self, route: Route | None) -> None:
        if route is None:
            self._page(HTTPStatus.SERVICE_UNAVAILABLE, "nothing is live here right now")
            return
        self._route = route
        self._connect(route, fresh=False)

    def _connect(self, route: Route, *, fresh: bool) -> None:
        idle = route.idle[self.client.listener]
        repeatable = self.head.method in IDEMPOTENT and not self.head.has_body and not self.head.upgrade
        if idle and repeatable and not fresh:
            app = idle.pop()
            app.reused = True
            self.opened(app)
        else:
            self._opening = self._connector.connect(route.upstream.addresses[self.client.listener], self)

    def _page(self, status: HTTPStatus, why: str) -> None:
        if self._route and not self.refusal:
            self._route.counts.refused += 1
        self._router.give_up(self)
        self._end(finished=False)
        self.answering = True
        self.client.page(status, why)
        self.client.done(self, keep_alive=self._body_done and self.head.keep_alive and not self.refusal)

    def _drop_app(self) -> None:
        if self._opening:
            self._opening.cancel()
        if self._app:
            app, self._app = self._app, None
            app.cut()

    def _end(self, *, finished: bool) -> None:
        self._ended = True
        if self._route:
            self._route.release(self, finished=finished, stream=self._stream)
