"""One request and its reply: claimed, sent to the app, answered or cut."""

import asyncio
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from slot_machine.core.upstream import CUT
from slot_machine.proxy import pages
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.route import Route
from slot_machine.proxy.routing import NO_SLOT

if TYPE_CHECKING:
    from slot_machine.proxy.heads.reply import ReplyHead
    from slot_machine.proxy.inbound import ClientConnection
    from slot_machine.proxy.outbound import AppConnection
    from slot_machine.proxy.pool import Pool


class AppSide(Protocol):
    """A connection to the app, while it is an exchange's."""

    transport: asyncio.Transport

    @property
    def reused(self) -> bool:
        """Whether it has carried requests before."""

    @property
    def silent(self) -> bool:
        """Whether nothing has come back on it so far."""

    def cut(self) -> None: ...

    def clean_ending(self) -> bytes | None:
        """What ends the reply so that the client understands it; None if nothing does."""


class Exchange:
    """Claims its upstream, and releases it in `_end`, whatever happens in between. Implements Claim.

    `body` is what has come of the request's body and was not sent on yet, as it came. `held`: it waits for a
    route. `received` and `sent` count the client's bytes, `status` is 0 until the reply begins.
    """

    __slots__ = (
        "_ending",
        "_orphaned",
        "_repeats",
        "app",
        "began_s",
        "body",
        "client",
        "ended",
        "endless",
        "head",
        "held",
        "keep_client",
        "listener",
        "received",
        "request_id",
        "route",
        "sent",
        "status",
        "winding_up",
    )

    def __init__(self, client: "ClientConnection", head: RequestHead, began_s: float) -> None:
        self.client = client
        self.listener = client.listener
        self.head = head
        self.began_s = began_s
        self.body = b""
        self.received = head.size
        self.request_id = b""
        self.sent = 0
        self.status = 0
        self.route: Route | None = None
        self.app: AppSide | None = None
        self.keep_client = head.keep_alive
        self.endless = False
        self.ended = False
        self.held = False
        self.winding_up = False
        self._orphaned = False
        self._repeats = False
        self._ending: bytes | None = None

    @property
    def connection_field(self) -> bytes:
        """What the client must be told of its connection: by default HTTP/1.1 keeps it open, HTTP/1.0 closes it."""
        if not self.keep_client:
            return b"close"
        return b"" if self.head.http_1_1 else b"keep-alive"

    def claimed(self, route: Route | None) -> None:
        if route is None:
            self.fail(HTTPStatus.SERVICE_UNAVAILABLE, "nothing is live here right now")
            return
        self.route = route
        now_s = self.began_s
        if self.held:
            self.held = False
            self.client.goes_on()
            if self._repeats:
                self._open(route)
                return
            now_s = monotonic()
        app = route.pools[self.listener].take(now_s, self.head.repeatable)
        if app is None:
            self._open(route)
        else:
            self.opened(app)

    def waits(self) -> None:
        self.held = True
        self.client.goes_on()

    def waits_for(self, pool: "Pool[AppConnection]") -> bool:
        """Whether it still wants a connection that was opened for it."""
        return not self.ended and self.route is not None and self.route.pools[self.listener] is pool

    def opened(self, app: "AppConnection") -> None:
        """The connection to the app is there: everything known of the request goes out."""
        self.app = app
        data, self.request_id = self.head.for_app(self.client.sender)
        if self.body:
            data, self.body = data + self.body, b""
        app.begin(self, data)
        if self.client.request_framing is not None and not app.congested:
            self.client.resume()

    def not_opened(self, why: str) -> None:
        if not self._move():
            self.fail(HTTPStatus.BAD_GATEWAY, f"the app refused the connection: {why}")

    def more_body(self, data: bytes) -> None:
        """A part of the request's body as it came."""
        if self.app:
            self.app.transport.write(data)
        elif not self.ended:
            self.body += data

    def answered(self, head: "ReplyHead") -> None:
        """The reply's head goes to the client: from here on nothing else can be said to it."""
        self.status = head.status
        if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
            self.keep_client = False
        if head.event_stream or head.status == HTTPStatus.SWITCHING_PROTOCOLS:
            self.endless = True
            unwinds_at_s = self.route.unwinds_at_s if self.route else None
            if unwinds_at_s is not None:
                self.wind_up(max(0.0, unwinds_at_s - monotonic()))

    def finished(self, now_s: float) -> None:
        """The reply is complete, and the connection to the app belongs to somebody else now."""
        self.app = None
        self._end(now_s, True, True)
        self.client.ended(self, now_s)

    def app_lost(self, why: str) -> None:
        """The app's connection ended before the reply did."""
        if self.ended:
            return
        if self.status:
            if self.winding_up:
                self._orphan()
            else:
                self._cut_off()
        elif not (self._move() or self._repeat()):
            self.fail(HTTPStatus.BAD_GATEWAY, why)

    def fail(self, status: HTTPStatus, why: str, *, finished: bool = True) -> None:
        """Answers in the app's place; cuts the client off if the app has begun to."""
        if self.ended:
            return
        if self.status:
            self._cut_off()
            return
        self._drop_app()
        client = self.client
        client.server.router.abandon(self, refused=True)
        if self.route and status >= 500:
            self.route.refused()
        self.status = status
        self.keep_client = self.keep_client and client.request_framing is None and not client.server.closing
        head_only = self.head.method == b"HEAD"
        page = pages.reply(status, why, self.head.meaning.accept, connection=self.connection_field, head_only=head_only)
        self.sent += len(page)
        client.transport.write(page)
        now_s = monotonic()
        self._end(now_s, finished=finished, whole=True)
        client.ended(self, now_s)

    def client_left(self) -> None:
        if self.ended:
            return
        self.client.server.router.abandon(self, refused=False)
        self._drop_app()
        self._end(monotonic(), finished=True, whole=self.endless)

    def cut(self) -> None:
        if self.winding_up and not self.ended:
            self._orphan()
        elif not self._move():
            self.fail(HTTPStatus.BAD_GATEWAY, "the app stopped before it answered", finished=False)

    def wind_up(self, within_s: float) -> None:
        self.winding_up = True
        asyncio.get_running_loop().call_later(within_s, self.end_cleanly)

    @property
    def _repeatable(self) -> bool:
        """Whether it may go out once more, though an app has it."""
        return self.app is not None and self.app.silent and self.head.repeatable and not self._repeats

    def _move(self) -> bool:
        """Goes to where new requests go, if that is somewhere else: once, or if the app never got it."""
        route, router = self.route, self.client.server.router
        never_sent = self.app is None and not self.status
        if not route or not (never_sent or self._repeatable) or not router.goes_elsewhere(self, route):
            return False
        self._drop_app()
        self._repeats = self.held = True
        self.route = None
        route.replayed()
        router.move(self, route)
        return True

    def _repeat(self) -> bool:
        """Goes out once more if a connection at rest may have ended before the app saw the request."""
        route, app = self.route, self.app
        if not (route and app and app.reused and self._repeatable):
            return False
        self.app = None
        self._repeats = True
        route.replayed()
        self._open(route)
        return True

    def _open(self, route: Route) -> None:
        self.client.server.connect(route.pools[self.listener], self)

    def _orphan(self) -> None:
        """Goes on without the app until its time comes to end."""
        assert self.app
        self._orphaned = True
        self._ending = self.app.clean_ending()
        self._drop_app()
        self._end(monotonic(), finished=False, whole=False)

    def end_cleanly(self) -> None:
        """For a WebSocket or an event stream. Does nothing where its time never came, or it ended by itself."""
        if not self.ended:
            self._orphan()
        transport = self.client.transport
        if not self._orphaned or transport.is_closing():
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
        if self.head.http_1_1:
            self.client.transport.abort()
        else:
            self.client.reset()

    def _drop_app(self) -> None:
        if self.app:
            app, self.app = self.app, None
            app.cut()

    def _end(self, now_s: float, finished: bool, whole: bool) -> None:
        """`finished`: not for want of time at a switch. `whole`: the client got all of the reply."""
        if self.ended:
            return
        self.ended = True
        route, server = self.route, self.client.server
        if route is None:
            totals = server.router.totals[NO_SLOT]
        else:
            route.release(self, finished)
            totals = route.totals
        seconds = now_s - self.began_s
        totals.observe(self.status if whole else CUT, seconds, self.received, self.sent)
        if self.head.misnamed:
            totals.misnamed_fields += self.head.misnamed
        if server.access_log is not None:
            server.access_log.add(self, seconds)
