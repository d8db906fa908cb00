"""A client's connection: requests come in, replies go out in their order."""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Protocol, cast

import httptools

from slot_machine.proxy import pages
from slot_machine.proxy.exchange import App, Connector, Exchange
from slot_machine.proxy.messages import MOST_HEAD_BYTES, Refusal, RequestHead, too_large
from slot_machine.proxy.routing import Router

HEAD_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 75.0
LINGER_S = 2.0


class Server(Connector, Protocol):
    """What the connections of a data plane share."""

    router: Router
    response_timeout_s: float
    hold_timeout_s: float
    closing: bool
    clients: "set[ClientConnection]"


class ClientConnection(asyncio.Protocol):
    def __init__(self, server: Server, listener: str) -> None:
        self.listener = listener
        self.peer = ""
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()
        self._incoming: Exchange | None = None
        self._head_bytes = 0
        self._paused: set[str] = set()
        self._broken = False
        self._tunnel: App | None = None
        self._early = b""
        self._quiet_since_s = self._loop.time()

    @property
    def closing(self) -> bool:
        return self._server.closing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast(asyncio.Transport, transport)
        host = self._transport.get_extra_info("peername")[0]
        self.peer = host.removeprefix("::ffff:")
        self._server.clients.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._server.clients.discard(self)
        if self._tunnel:
            self._tunnel.retire()
        for exchange in self._queue:
            exchange.client_left()
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        if self._tunnel:
            self._tunnel.write(data)
        elif self._incoming and self._incoming.head.upgrade:
            self._early += data
            if len(self._early) > MOST_HEAD_BYTES:
                self._transport.abort()
        elif not self._broken:
            if not self._head_complete:
                self._head_bytes += len(data)
            self._feed(data)

    def eof_received(self) -> bool:
        """A client that ends its side has left, as with most servers; a tunnel's other half may go on."""
        if self._tunnel:
            self._tunnel.write_eof()
            return True
        return False

    def pause_writing(self) -> None:
        if self._tunnel:
            self._tunnel.pause_reading()
        elif self._queue:
            self._queue[0].pause_reply()

    def resume_writing(self) -> None:
        if self._tunnel:
            self._tunnel.resume_reading()
        elif self._queue:
            self._queue[0].resume_reply()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._broken:
            return
        self._incoming = Exchange(self, RequestHead(), self._server.router, self._server)

    def on_url(self, url: bytes) -> None:
        if self._incoming:
            self._incoming.head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._incoming and not self._head_complete:
            self._incoming.head.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        exchange = self._incoming
        if not exchange:
            return
        head = exchange.head
        head.method = self._parser.get_method()
        head.version = self._parser.get_http_version()
        head.keep_alive = self._parser.should_keep_alive()
        try:
            head.check()
            if (self._parser.should_upgrade() and not head.upgrade) or (head.upgrade and head.has_body):
                raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "an upgrade of this kind")
        except Refusal as refusal:
            self._refuse(refusal)
            return
        self._enqueue(exchange)

    def on_body(self, body: bytes) -> None:
        if self._incoming:
            self._incoming.body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        if self._incoming:
            self._incoming.body_done()
            if not self._incoming.head.upgrade:
                self._incoming = None

    # What an exchange calls.

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def pause(self, reason: str) -> None:
        if not self._paused:
            self._transport.pause_reading()
        self._paused.add(reason)

    def resume(self, reason: str) -> None:
        if reason in self._paused:
            self._paused.discard(reason)
            if not self._paused and not self._transport.is_closing():
                self._transport.resume_reading()

    def page(self, status: HTTPStatus, why: str) -> None:
        head = self._queue[0].head
        accept = b",".join(head.get(b"accept"))
        close = self._broken or self.closing or not head.keep_alive
        self.write(pages.reply(status, why, accept, close=close, head_only=head.method == b"HEAD"))

    def done(self, exchange: Exchange, *, keep_alive: bool) -> None:
        self._queue.remove(exchange)
        self._quiet_since_s = self._loop.time()
        self.resume("app")
        if not keep_alive or self.closing or exchange.head.upgrade:
            self._linger()
        elif self._queue:
            self._queue[0].start(self._loop.time())
        if len(self._queue) <= 1:
            self.resume("pipeline")

    def tunnel(self, app: App) -> None:
        self._tunnel = app
        if self._early:
            app.write(self._early)
            self._early = b""

    def write_eof(self) -> None:
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # What the server calls.

    def close_if_idle(self) -> None:
        if not self._queue and not self._tunnel:
            self._transport.close()

    def check_time(self, now_s: float) -> None:
        """Ends what took too long."""
        if self._queue:
            self._check_exchange(self._queue[0], now_s)
        elif self._head_bytes and now_s - self._quiet_since_s > HEAD_TIMEOUT_S:
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, f"no complete head within {HEAD_TIMEOUT_S:g} s"))
        elif not self._tunnel and now_s - self._quiet_since_s > IDLE_TIMEOUT_S:
            self._transport.close()

    def _check_exchange(self, exchange: Exchange, now_s: float) -> None:
        took_s = now_s - exchange.began_s
        limit_s = self._server.response_timeout_s
        if exchange.waiting:
            if took_s > self._server.hold_timeout_s:
                exchange.timed_out(HTTPStatus.SERVICE_UNAVAILABLE, "held for too long while a new version starts")
        elif limit_s and took_s > limit_s and exchange.request_done:
            exchange.timed_out(HTTPStatus.GATEWAY_TIMEOUT, f"the app did not answer within {limit_s:g} s")

    @property
    def _head_complete(self) -> bool:
        return self._incoming is not None and self._incoming in self._queue

    def _feed(self, data: bytes) -> None:
        if not self._queue and self._head_bytes == len(data):
            self._quiet_since_s = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._early = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if not self._broken:
                self._refuse(Refusal(HTTPStatus.BAD_REQUEST, f"malformed request: {error}"))
        if self._head_bytes > MOST_HEAD_BYTES and not self._broken and not self._head_complete:
            self._refuse(too_large())

    def _enqueue(self, exchange: Exchange) -> None:
        self._queue.append(exchange)
        if len(self._queue) == 1:
            exchange.start(self._loop.time())
        else:
            self.pause("pipeline")

    def _refuse(self, refusal: Refusal) -> None:
        """Answers in its turn, takes nothing more from this client, and closes."""
        self._broken = True
        exchange = self._incoming
        if exchange is not None and exchange in self._queue:
            # The head went on to the app already and the body is broken: what was sent can't be completed.
            exchange.client_left()
            self._transport.abort()
            return
        exchange = exchange or Exchange(self, RequestHead(), self._server.router, self._server)
        exchange.refusal = refusal
        self._incoming = None
        self._enqueue(exchange)

    def _linger(self) -> None:
        """Closes so that the reply arrives though the client may still be sending (RFC 9112 section 9.6)."""
        if self._transport.is_closing():
            return
        self._broken = True
        if self._queue or self._incoming or self._paused:
            self._paused.clear()
            self._transport.resume_reading()
            self._transport.write_eof()
            self._loop.call_later(LINGER_S, self._transport.abort)
        else:
            self._transport.close()
