"""A connection to the app: one request after the other, each with its reply."""

import asyncio
from typing import cast

import httptools

from slot_machine.proxy.exchange import App, Exchange
from slot_machine.proxy.inbound import ClientConnection
from slot_machine.proxy.messages import Refusal, ReplyHead, check_fields

NO_BODY = frozenset((204, 304))


class AppConnection(asyncio.Protocol):
    def __init__(self) -> None:
        self.reused = False
        self.idle_in: list[App] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._client: ClientConnection | None = None
        self._head = ReplyHead()
        self._head_complete = False
        self._status = 0
        self._until_close = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave_idle()
        exchange, self._exchange = self._exchange, None
        if self._client:
            self._client.close()
        elif exchange and self._head_complete and self._until_close and exc is None:
            exchange.reply_done(app_reusable=False)
        if exchange:
            exchange.app_lost("the app closed the connection before it answered")

    def data_received(self, data: bytes) -> None:
        if self._client:
            self._client.write(data)
            return
        if not self._exchange:
            self.cut()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._client and rest:
                self._client.write(rest)
        except httptools.HttpParserError as error:
            self._fail(f"the app's reply is not HTTP: {error}")

    def eof_received(self) -> bool:
        if self._client:
            self._client.write_eof()
            return True
        return False

    def pause_writing(self) -> None:
        if self._client:
            self._client.pause("app")
        elif self._exchange:
            self._exchange.client.pause("app")

    def resume_writing(self) -> None:
        if self._client:
            self._client.resume("app")
        elif self._exchange:
            self._exchange.client.resume("app")

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._head = ReplyHead()
        self._head_complete = False

    def on_status(self, status: bytes) -> None:
        self._head.reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_complete:
            self._head.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._head_complete = True
        self._status = self._parser.get_status_code()
        if not self._exchange:
            return
        try:
            check_fields(self._head.headers)
        except Refusal as refusal:
            self._fail(f"the app's reply has a {refusal}")
            return
        if self._status == 101:
            self._upgrade(self._exchange)
        elif self._status < 200:
            self._exchange.interim(self._status, self._head)
        else:
            self._begin_reply(self._exchange)

    def on_body(self, body: bytes) -> None:
        if self._exchange and self._exchange.answering:
            self._exchange.reply_body(body)

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange and exchange.answering and self._status >= 200 and exchange.head.method != b"HEAD":
            self._exchange = None
            exchange.reply_done(app_reusable=self._parser.should_keep_alive() and not self._until_close)

    # What an exchange calls.

    def begin(self, exchange: Exchange) -> None:
        self._leave_idle()
        self._exchange = exchange

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def write_eof(self) -> None:
        if not self._transport.is_closing():
            self._transport.write_eof()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def retire(self) -> None:
        """Closes once what was written has gone out."""
        self._exchange = None
        self._transport.close()

    def cut(self) -> None:
        self._exchange = None
        self._transport.abort()

    def rest_in(self, idle: list[App]) -> None:
        """Waits there for the next request, and leaves by itself when the app closes."""
        self.idle_in = idle
        idle.append(self)

    def _leave_idle(self) -> None:
        if self.idle_in is not None:
            if self in self.idle_in:
                self.idle_in.remove(self)
            self.idle_in = None

    def _begin_reply(self, exchange: Exchange) -> None:
        chunked, length = self._head.has(b"transfer-encoding"), self._head.has(b"content-length")
        if chunked and length:
            self._fail("the app's reply has both Content-Length and Transfer-Encoding")
            return
        no_body = exchange.head.method == b"HEAD" or self._status in NO_BODY
        self._until_close = not (no_body or chunked or length)
        exchange.reply_head(self._status, self._head, delimited=no_body or length)
        if exchange.head.method == b"HEAD":
            # The parser would wait for a body that does not come.
            self._exchange = None
            exchange.reply_done(app_reusable=False)

    def _upgrade(self, exchange: Exchange) -> None:
        if not exchange.head.upgrade:
            self._fail("the app switched protocols though nobody asked for it")
            return
        assert isinstance(exchange.client, ClientConnection)
        self._client = exchange.client
        exchange.upgraded(self._head)

    def _fail(self, why: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange:
            exchange.bad_reply(why)
        self._transport.abort()
