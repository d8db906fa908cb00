"""One request and its reply: claims an upstream, is sent to the app, is answered or cut."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import TypeAlias

from slot_machine.core.minutes import LEFT_AFTER_S
from slot_machine.core.upstream import CUT, INTERNAL, PREVIEW, Beside
from slot_machine.proxy import pages, preview, record, second_try, sides
from slot_machine.proxy.ends import AppSide, ClientSide, ConnectionOf
from slot_machine.proxy.heads.reply import ReplyHead
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.observer import FIRST_ERROR
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.route import Route
from slot_machine.proxy.rule import Rule


class Exchange:
    """A request's claim on an upstream. `_end` releases it, whatever happens in between. Implements Claim.

    `body` is the part of the request's body that has come and was not sent on yet. `held`: it waits for a route.
    `received` and `sent` count the client's bytes. `status` is 0 until the reply begins. `endless`: a WebSocket or an
    event stream. `winding_up`: it is to end cleanly, because its upstream stops. `sent_s` and `replied_s` are when the
    app got the request, and when its reply began; missing for most, see `record`. `asked_s` is since when a reply is up
    to the route; missing if since `began_s`. `late`: its route counts that it waits. `repeats`, `turned` and `missing`:
    see `second_try`.
    """

    __slots__ = (
        "_detached",
        "_ending",
        "app",
        "asked_s",
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
        "missing",
        "received",
        "repeats",
        "replied_s",
        "request_id",
        "route",
        "rule",
        "sent",
        "sent_s",
        "status",
        "turned",
        "winding_up",
    )

    asked_s: float
    sent_s: float
    replied_s: float

    def __init__(self, client: "ClientSide[Exchange]", head: RequestHead, began_s: float) -> None:
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
        self.repeats = False
        self.turned = False
        self.missing = False
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

    def claimed(self, route: "Route[Connection] | None") -> None:
        if route is None:
            why = preview.NONE_HELD if self.listener == PREVIEW else "nothing is live here right now"
            self.fail(HTTPStatus.SERVICE_UNAVAILABLE, why)
            return
        self.route = route
        now_s = self.began_s
        if self.held:
            self.held = False
            self.client.update_deadline()
            now_s = self.asked_s = monotonic()
            if self.listener != INTERNAL and preview.lost(self.head.tokens, self.client.shared.router.beside):
                self.fail(HTTPStatus.NOT_FOUND, preview.ENDED)
                return
            if self.repeats:
                self.open(route)
                return
            self.sent_s = now_s
        app = route.pools[self.listener].take(now_s, self.head.repeatable)
        if app is None:
            self.open(route)
        else:
            self.opened(app)

    def goes_beside(self, beside: Beside) -> bool:
        return sides.goes_beside(self, beside) != self.turned

    def waits(self) -> None:
        self.held = True
        self.client.update_deadline()

    def waits_long(self) -> None:
        """For the begin of the reply."""
        if self.route:
            self.late = True
            self.route.observer.waits(self.head.target)

    def waits_no_longer(self, route: "Route[Connection]", *, in_vain: bool) -> None:
        if self.late:
            self.late = False
            route.observer.waits_no_longer(self.head.target, in_vain=in_vain)

    def waits_for(self, pool: "Pool[Connection]") -> bool:
        """Whether it still needs a connection that was opened for it."""
        return not self.ended and self.route is not None and self.route.pools[self.listener] is pool

    def opened(self, app: "Connection") -> None:
        """Sends what has come of the request on this connection."""
        self.app = app
        data, self.request_id = self.head.for_app(self.client.sender)
        if self.body:
            data, self.body = data + self.body, b""
        app.begin(self, data)
        if self.client.request_framing is not None and not app.congested:
            self.client.resume()

    def not_opened(self, why: str) -> None:
        if not (second_try.move(self) or second_try.turn(self)):
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
            self.waits_no_longer(self.route, in_vain=False)
        if self.client.shared.access_log is not None:
            self.replied_s = monotonic()
        if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
            self.keep_client = False
        if head.status == HTTPStatus.SWITCHING_PROTOCOLS or (head.event_stream and head.status < FIRST_ERROR):
            self._becomes_endless()

    def _becomes_endless(self) -> None:
        self.endless = True
        if not self.route:
            return
        now_s, unwinds_at_s = monotonic(), self.route.unwinds_at_s
        head, status, observer = self.head, self.status, self.route.observer
        if observer.stream_begins(head.target, status, now_s - self.began_s):
            observer.visited(head.target, status, head.visitor(self.client.sender))
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
            elif self.stopping:
                self.end_cleanly()
            else:
                self._cut_off()
        elif not (second_try.move(self) or second_try.repeat(self) or second_try.turn(self)):
            self.fail(HTTPStatus.BAD_GATEWAY, why)

    def fail(self, status: HTTPStatus, why: str, *, finished: bool = True) -> None:
        """Replies in place of the app, or cuts the client off if the app's reply has begun."""
        if self.ended:
            return
        if self.status:
            self._cut_off()
            return
        if self.missing:
            status, why = HTTPStatus.NOT_FOUND, pages.NO_FILE
        self.drop_app()
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
        if not (self.status or self.late or self.client.request_framing) and now_s - self._since_s >= LEFT_AFTER_S:
            self.waits_long()
        self.client.shared.router.abandon(self, refused=False)
        self.drop_app()
        self._end(now_s, finished=True, whole=self.endless)

    def cut(self) -> None:
        if self.winding_up and not self.ended:
            self._detach()
        elif not second_try.move(self):
            self.fail(HTTPStatus.BAD_GATEWAY, "the app stopped before it answered", finished=False)

    def wind_up(self, within_s: float) -> None:
        self.winding_up = True
        asyncio.get_running_loop().call_later(within_s, self.end_cleanly)

    def open(self, route: "Route[Connection]") -> None:
        self.client.shared.connect(route.pools[self.listener], self)

    @property
    def _since_s(self) -> float:
        return getattr(self, "asked_s", self.began_s)

    @property
    def stopping(self) -> bool:
        """It is to end cleanly. On a busy machine the app may have ended before the order to wind up came."""
        return self.winding_up or (self.endless and self.route is not None and not self.route.current)

    def _detach(self) -> None:
        """Goes on without the app until `end_cleanly`."""
        assert self.app
        self._detached = True
        self._ending = self.app.clean_ending()
        self.drop_app()
        self._end(monotonic(), finished=False, whole=False)

    def end_cleanly(self) -> None:
        """Ends a WebSocket or an event stream, if it has not ended by itself."""
        if not self.ended:
            self._detach()
        transport = self.client.transport
        if not self._detached or transport.is_closing():
            return
        self._detached = False
        if self._ending is None:
            transport.abort()
            return
        transport.write(self._ending)
        if self.keep_client:
            self.client.ended(self, monotonic())
        else:
            self.client.linger()

    def _cut_off(self) -> None:
        self.drop_app()
        self._end(monotonic(), finished=False, whole=False)
        if self.route:
            self.route.observer.cut_short(self.head.target, self.head.visitor(self.client.sender))
        if self.head.http_1_1:
            self.client.transport.abort()
        else:
            self.client.reset()

    def drop_app(self) -> None:
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
        # The time before it turned is that of the other side.
        seconds = now_s - (self._since_s if self.turned else self.began_s)
        status = self.status if whole else CUT
        if self.endless:
            observer.totals.observe(status, seconds, self.received, self.sent)
        else:
            head = self.head
            if observer.observe(head.target, status, seconds, self.received, self.sent, head.anonymous):
                observer.visited(head.target, status, head.visitor(self.client.sender))
        if self.late and route is not None:
            self.waits_no_longer(route, in_vain=not self.status)
        if self.head.misnamed:
            observer.totals.misnamed_fields += self.head.misnamed
        if shared.access_log is not None:
            shared.access_log.add(record.of(self, now_s), "HTTP/1.1" if self.head.http_1_1 else "HTTP/1.0")


Connection: TypeAlias = ConnectionOf[Exchange]
