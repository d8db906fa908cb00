"""One request and its reply: claims an upstream, is sent to the app, is answered or cut."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import Protocol

from slot_machine.core.minutes import LEFT_AFTER_S
from slot_machine.core.upstream import CUT, PREVIEW, Beside
from slot_machine.proxy import pages, preview, sides
from slot_machine.proxy.access_log import AccessLog, Finished, shown
from slot_machine.proxy.framing import Framing
from slot_machine.proxy.heads.forwarded import Sender
from slot_machine.proxy.heads.reply import ReplyHead
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.observer import NO_SLOT
from slot_machine.proxy.pool import AppLink, Pool
from slot_machine.proxy.route import Route
from slot_machine.proxy.routing import Router
from slot_machine.proxy.rule import Rule
from slot_machine.proxy.share import Visitors
from slot_machine.proxy.wire import Limits


class AppSide(Protocol):
    """What carries an exchange to the app: a connection to it, or a tunnel. `reused`: it has carried one before."""

    transport: asyncio.Transport

    @property
    def reused(self) -> bool: ...

    @property
    def silent(self) -> bool:
        """Whether nothing has come back on it for this exchange."""

    def cut(self) -> None: ...

    def clean_ending(self) -> bytes | None:
        """The bytes that end the reply so that the client knows it is over; None if nothing does."""


class Connection(AppLink, AppSide, Protocol):
    """A connection to the app. `congested`: the app reads more slowly than the client sends."""

    congested: bool

    def begin(self, exchange: "Exchange", request: bytes, /) -> None:
        """Sends the request, and its reply to the exchange's client."""


class Common(Protocol):
    """What all exchanges of a data plane share. `closing`: each reply says that its connection closes after it."""

    limits: Limits
    router: Router[Connection]
    access_log: AccessLog | None
    closing: bool
    visitors: Visitors
    port: int

    def connect(self, pool: Pool[Connection], exchange: "Exchange", /) -> None:
        """Opens a connection for the exchange, and tells it the outcome."""


class ClientSide(Protocol):
    """A client's connection, as the app's side knows it.

    `request_framing` is that of the request's body until all of it has come. `congested`: the client reads more
    slowly than the app writes. `half_closed`: one side of its tunnel sends no more.
    """

    transport: asyncio.Transport
    listener: str
    sender: Sender
    request_framing: Framing | None
    congested: bool
    half_closed: bool

    @property
    def shared(self) -> Common: ...

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def update_deadline(self) -> None: ...
    def ended(self, exchange: "Exchange", now_s: float, /) -> None: ...
    def linger(self) -> None: ...
    def reset(self) -> None: ...

    # For a tunnel.

    def upgraded(self) -> bytes: ...
    def half_closes(self) -> None: ...
    def pause_tunnel(self) -> None: ...
    def end_turn(self, nbytes: int, /) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None, /) -> None: ...


class Exchange:
    """A request's claim on an upstream. `_end` releases it, whatever happens in between. Implements Claim.

    `body` is the part of the request's body that has come and was not sent on yet. `held`: it waits for a route.
    `received` and `sent` count the client's bytes. `status` is 0 until the reply begins. `endless`: a WebSocket or an
    event stream. `winding_up`: it is to end cleanly, because its upstream stops. `sent_s` and `replied_s` are when the
    app got the request, and when its reply began; missing for most, see `_record`. `_turned`: it was sent to the one
    side, and goes to the other; `_missing`: because the one answered 404. `late`: its route counts that it waits.
    """

    __slots__ = (
        "_detached",
        "_ending",
        "_missing",
        "_repeats",
        "_turned",
        "app",
        "began_s",
        "body",
        "client",
        "ended",
        "endless",
        "head",
        "held",
        "keep_client",
        "late",
        "listener",
        "received",
        "replied_s",
        "request_id",
        "route",
        "rule",
        "sent",
        "sent_s",
        "status",
        "winding_up",
    )

    sent_s: float
    replied_s: float

    def __init__(self, client: ClientSide, head: RequestHead, began_s: float) -> None:
        self.client = client
        self.listener = client.listener
        self.head = head
        self.began_s = began_s
        self.body = b""
        self.received = head.size
        self.request_id = b""
        self.sent = 0
        self.status = 0
        self.route: Route[Connection] | None = None
        self.rule: Rule | None = None
        self.app: AppSide | None = None
        self.keep_client = head.keep_alive
        self.endless = False
        self.ended = False
        self.held = False
        self.late = False
        self.winding_up = False
        self._detached = False
        self._repeats = False
        self._turned = False
        self._missing = False
        self._ending: bytes | None = None

    @property
    def connection_field(self) -> bytes:
        """The reply's Connection field, empty for none: by default HTTP/1.1 keeps a connection open, 1.0 closes it."""
        if not self.keep_client:
            return b"close"
        return b"" if self.head.http_1_1 else b"keep-alive"

    @property
    def head_only(self) -> bool:
        """Whether the reply must have no body."""
        return self.head.method == b"HEAD"

    def claimed(self, route: Route[Connection] | None) -> None:
        if route is None:
            why = preview.NONE_HELD if self.listener == PREVIEW else "nothing is live here right now"
            self.fail(HTTPStatus.SERVICE_UNAVAILABLE, why)
            return
        self.route = route
        now_s = self.began_s
        if self.held:
            self.held = False
            self.client.update_deadline()
            if preview.lost(self.head.tokens, self.client.shared.router.beside):
                self.fail(HTTPStatus.NOT_FOUND, preview.ENDED)
                return
            if self._repeats:
                self._open(route)
                return
            now_s = self.sent_s = monotonic()
        app = route.pools[self.listener].take(now_s, self.head.repeatable)
        if app is None:
            self._open(route)
        else:
            self.opened(app)

    def goes_beside(self, beside: Beside) -> bool:
        return sides.goes_beside(self, beside) != self._turned

    def waits(self) -> None:
        self.held = True
        self.client.update_deadline()

    def waits_long(self) -> None:
        """For the begin of the reply."""
        if self.route:
            self.late = True
            self.route.observer.waits(self.head.target)

    def _waits_no_longer(self, route: Route[Connection], *, in_vain: bool) -> None:
        if self.late:
            self.late = False
            route.observer.waits_no_longer(self.head.target, in_vain=in_vain)

    def waits_for(self, pool: Pool[Connection]) -> bool:
        """Whether it still needs a connection that was opened for it."""
        return not self.ended and self.route is not None and self.route.pools[self.listener] is pool

    def opened(self, app: Connection) -> None:
        """Sends what has come of the request on this connection."""
        self.app = app
        data, self.request_id = self.head.for_app(self.client.sender)
        if self.body:
            data, self.body = data + self.body, b""
        app.begin(self, data)
        if self.client.request_framing is not None and not app.congested:
            self.client.resume()

    def not_opened(self, why: str) -> None:
        if not (self._move() or self._turn()):
            self.fail(HTTPStatus.BAD_GATEWAY, f"the app refused the connection: {why}")

    def more_body(self, data: bytes) -> None:
        """A part of the request's body has come."""
        if self.app:
            self.app.transport.write(data)
        elif not self.ended:
            self.body += data

    def answered(self, head: ReplyHead) -> None:
        """The reply's head is sent to the client: from here on there can be no other reply."""
        self.status = head.status
        if self.late and self.route:
            self._waits_no_longer(self.route, in_vain=False)
        if self.client.shared.access_log is not None:
            self.replied_s = monotonic()
        if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
            self.keep_client = False
        if head.event_stream or head.status == HTTPStatus.SWITCHING_PROTOCOLS:
            self._becomes_endless()

    def _becomes_endless(self) -> None:
        self.endless = True
        if not self.route:
            return
        now_s, unwinds_at_s = monotonic(), self.route.unwinds_at_s
        self.route.observer.stream_begins(self.head.target, self.status, now_s - self.began_s)
        if unwinds_at_s is not None:
            self.wind_up(max(0.0, unwinds_at_s - now_s))

    def finished(self, now_s: float) -> None:
        """The reply is complete, and the connection to the app is free for other requests."""
        self.app = None
        self._end(now_s, True, True)
        self.client.ended(self, now_s)

    def app_lost(self, why: str) -> None:
        """The app's connection ended before the reply did."""
        if self.ended:
            return
        if self.status:
            if self.winding_up:
                self._detach()
            else:
                self._cut_off()
        elif not (self._move() or self._repeat() or self._turn()):
            self.fail(HTTPStatus.BAD_GATEWAY, why)

    def fail(self, status: HTTPStatus, why: str, *, finished: bool = True) -> None:
        """Replies in place of the app, or cuts the client off if the app's reply has begun."""
        if self.ended:
            return
        if self.status:
            self._cut_off()
            return
        if self._missing:
            status, why = HTTPStatus.NOT_FOUND, "there is no such file"
        self._drop_app()
        client = self.client
        client.shared.router.abandon(self, refused=True)
        if self.route and status >= 500:
            self.route.refused()
        self.answer(status, lambda _: self._page(status, why), finished=finished)

    def answer(self, status: HTTPStatus, page: "Callable[[Exchange], bytes]", *, finished: bool = True) -> None:
        """Replies in place of the app, which does not have the request. `page` makes the whole reply."""
        client = self.client
        self.status = status
        self.replied_s = inf
        self.keep_client = self.keep_client and client.request_framing is None and not client.shared.closing
        whole = page(self)
        self.sent += len(whole)
        client.transport.write(whole)
        now_s = monotonic()
        self._end(now_s, finished=finished, whole=True)
        client.ended(self, now_s)

    def _page(self, status: HTTPStatus, why: str) -> bytes:
        accept = self.head.meaning.accept
        return pages.reply(status, why, accept, connection=self.connection_field, head_only=self.head_only)

    def client_left(self) -> None:
        if self.ended:
            return
        now_s = monotonic()
        if not (self.status or self.late or self.client.request_framing) and now_s - self.began_s >= LEFT_AFTER_S:
            self.waits_long()
        self.client.shared.router.abandon(self, refused=False)
        self._drop_app()
        self._end(now_s, finished=True, whole=self.endless)

    def cut(self) -> None:
        if self.winding_up and not self.ended:
            self._detach()
        elif not self._move():
            self.fail(HTTPStatus.BAD_GATEWAY, "the app stopped before it answered", finished=False)

    def asks_elsewhere(self, head: ReplyHead) -> bool:
        """Whether the app's reply, of which only the head was read, is not for the client."""
        if self.rule is None or self._turned or not self.head.repeatable or self.client.shared.router.beside is None:
            return False
        return self.rule.elsewhere(head)

    def ask_elsewhere(self) -> None:
        """Asks the other side for what this one does not have. The connection to this one is closed."""
        self.app = None
        self._missing = True
        self._cross()

    def _turn(self) -> bool:
        """Asks the other side, once, if that stands in for this one, which did not take the request."""
        route, app = self.route, self.app
        again = self.head.repeatable and app.silent if app else not self.status
        if (
            route is None
            or self._turned
            or not again
            or not sides.stands_in(self, route.upstream, self.client.shared.router)
        ):
            return False
        # Whoever watches this version is to know.
        seconds = monotonic() - self.began_s
        route.observer.observe(self.head.target, HTTPStatus.BAD_GATEWAY, seconds, self.received, 0)
        self._drop_app()
        self._cross()
        return True

    def _cross(self) -> None:
        assert self.route
        route, self.route = self.route, None
        self._waits_no_longer(route, in_vain=True)
        self._turned = self._repeats = self.held = True
        self.client.shared.router.move(self, route)

    def wind_up(self, within_s: float) -> None:
        self.winding_up = True
        asyncio.get_running_loop().call_later(within_s, self.end_cleanly)

    @property
    def _repeatable(self) -> bool:
        """Whether it may be sent once more, though an app has got it."""
        return self.app is not None and self.app.silent and self.head.repeatable and not self._repeats

    def _move(self) -> bool:
        """Claims again if new requests go elsewhere: once, or at any time if no app has got the request."""
        route, router = self.route, self.client.shared.router
        never_sent = self.app is None and not self.status
        if not route or not (never_sent or self._repeatable) or not router.goes_elsewhere(self, route):
            return False
        self._drop_app()
        self._repeats = self.held = True
        self._waits_no_longer(route, in_vain=True)
        self.route = None
        route.replayed()
        router.move(self, route)
        return True

    def _repeat(self) -> bool:
        """Sends it once more if an idle connection may have been closed before the app saw the request."""
        route, app = self.route, self.app
        if not (route and app and app.reused and self._repeatable):
            return False
        self.app = None
        self._repeats = True
        route.replayed()
        self._open(route)
        return True

    def _open(self, route: Route[Connection]) -> None:
        self.client.shared.connect(route.pools[self.listener], self)

    def _detach(self) -> None:
        """Goes on without the app until `end_cleanly`."""
        assert self.app
        self._detached = True
        self._ending = self.app.clean_ending()
        self._drop_app()
        self._end(monotonic(), finished=False, whole=False)

    def end_cleanly(self) -> None:
        """Ends a WebSocket or an event stream, if it has not ended by itself."""
        if not self.ended:
            self._detach()
        transport = self.client.transport
        if not self._detached or transport.is_closing():
            return
        if self._ending is None:
            transport.abort()
            return
        transport.write(self._ending)
        if self.keep_client:
            self.client.ended(self, monotonic())
        else:
            self.client.linger()

    def _cut_off(self) -> None:
        self._drop_app()
        self._end(monotonic(), finished=False, whole=False)
        if self.route:
            self.route.observer.cut_short(self.head.target, self.head.visitor(self.client.sender))
        if self.head.http_1_1:
            self.client.transport.abort()
        else:
            self.client.reset()

    def _drop_app(self) -> None:
        if self.app:
            app, self.app = self.app, None
            app.cut()

    def _end(self, now_s: float, finished: bool, whole: bool) -> None:
        """`finished` is false if a switch cut the request short. `whole`: the client got all of the reply."""
        if self.ended:
            return
        self.ended = True
        route, shared = self.route, self.client.shared
        if route is None:
            observer = shared.router.observers.of_no_slot
        else:
            route.release(self, finished)
            observer = route.observer
        seconds = now_s - self.began_s
        status = self.status if whole else CUT
        if self.endless:
            observer.totals.observe(status, seconds, self.received, self.sent)
        else:
            head = self.head
            if observer.observe(head.target, status, seconds, self.received, self.sent, head.anonymous):
                observer.visited(head.target, status, head.visitor(self.client.sender))
        if self.late and route is not None:
            self._waits_no_longer(route, in_vain=not self.status)
        if self.head.misnamed:
            observer.totals.misnamed_fields += self.head.misnamed
        if shared.access_log is not None:
            shared.access_log.add(self._record(now_s), "HTTP/1.1" if self.head.http_1_1 else "HTTP/1.0")

    def _record(self, now_s: float) -> Finished:
        head = self.head
        method, target, request_id = map(shown, (head.method, head.target, self.request_id))
        slot = self.route.upstream.slot if self.route else NO_SLOT
        client, (user_agent, referer) = head.client(self.client.sender), head.logged()
        # Most requests are sent to the app at once, and all of the reply comes at once.
        sent_s, replied_s = getattr(self, "sent_s", self.began_s), getattr(self, "replied_s", now_s)
        upstream_s = replied_s - sent_s if self.status and replied_s != inf else 0.0
        seconds = now_s - self.began_s
        return Finished(
            time.time(),
            method,
            target,
            self.status,
            self.sent,
            seconds,
            slot,
            request_id,
            client,
            user_agent,
            referer,
            upstream_s,
        )
