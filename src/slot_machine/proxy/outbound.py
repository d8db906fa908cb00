"""A connection to the app: one request after the other, each with its reply."""

import asyncio
import os
from contextlib import suppress
from http import HTTPStatus
from time import monotonic
from typing import cast

from slot_machine.proxy.exchange import Connection, Exchange
from slot_machine.proxy.framing import LAST_CHUNK, MORE, REPLY_LINES, Chunked, Framing, Sized, UntilClose, chunk
from slot_machine.proxy.heads import reply
from slot_machine.proxy.heads.fields import MOST_HEAD_BYTES, ProtocolError, list_members
from slot_machine.proxy.heads.reply import BODYLESS, ReplyHead
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.sockets import fileno
from slot_machine.proxy.tunnel import Tunnel
from slot_machine.proxy.turns import end_turn

READ_BYTES = 262_144
WRITTEN_AT_ONCE = 16_384
"""Bytes up to which a copy costs less than a second buffer."""


class AppConnection(asyncio.Protocol):
    __slots__ = (
        "_early",
        "_encode",
        "_exchange",
        "_head",
        "_payload",
        "_pool",
        "_reply_framing",
        "congested",
        "idle_since_s",
        "reused",
        "transport",
    )

    def __init__(self, pool: Pool[Connection]) -> None:
        self.idle_since_s = 0.0
        self._pool = pool
        self._exchange: Exchange | None = None
        self.reused = False
        self.congested = False
        self._early = b""
        self._head: ReplyHead | None = None
        self._reply_framing: Framing | None = None
        self._encode = False
        self._payload: list[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._read_what_is_left()
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            self._pool.lost(self, monotonic())
        elif isinstance(self._reply_framing, UntilClose) and exc is None and not exchange.winding_up:
            if self._encode:
                self._write(exchange, LAST_CHUNK)
            exchange.finished(monotonic())
        else:
            exchange.app_lost("the app closed the connection before it answered")

    def _read_what_is_left(self) -> None:
        """A write that meets a reset ends the connection before the reply is read that explains it."""
        with suppress(OSError):
            while self._exchange and (left := os.read(self.fileno(), READ_BYTES)):
                self.data_received(left)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # Nobody asked, and nobody may ask on this one any more.
            self._pool.lost(self, monotonic())
            self.transport.abort()
            return
        try:
            if self._reply_framing is not None:
                self._relay(exchange, data, 0, self._reply_framing.feed(data, 0))
                end_turn(self.transport, len(data), self._waits)
                return
            if self._early:
                data, self._early = self._early + data, b""
            end = data.find(b"\r\n\r\n") + 4
            head = reply.known.get(data[:end])
            client = exchange.client
            if head is None or head.whole != len(data) or not exchange.head.plain or client.request_framing is not None:
                self._begin_reply(exchange, data, end)
                return
            # Most replies: all of it is here and no more, the client understands it as it is, and has asked in full.
            keep = exchange.keep_client = exchange.keep_client and not client.shared.closing
            exchange.status = head.status
            out = (head.kept_alive if keep else head.for_client(connection=b"close")) + data[end:]
            exchange.sent += len(out)
            client.transport.write(out)
            self._finish(exchange, head, True)
        except ProtocolError as error:
            self._exchange = None
            self.transport.abort()
            exchange.fail(HTTPStatus.BAD_GATEWAY, f"the app's reply is malformed: {error}")

    def pause_writing(self) -> None:
        self.congested = True
        if self._exchange:
            self._exchange.client.pause()

    def resume_writing(self) -> None:
        self.congested = False
        if self._exchange and self._exchange.client.request_framing is not None:
            self._exchange.client.resume()

    # What an exchange calls.

    @property
    def silent(self) -> bool:
        return self._head is None and not self._early

    def begin(self, exchange: Exchange, request: bytes) -> None:
        self._exchange = exchange
        if exchange.client.congested:
            self.transport.pause_reading()
        self.transport.write(request)

    def cut(self) -> None:
        self._exchange = None
        self.transport.abort()

    def clean_ending(self) -> bytes | None:
        """Only an event stream may end at any chunk: of other replies a part would pass for the whole."""
        if not self._head or not self._head.event_stream:
            return None
        if self._encode:
            return LAST_CHUNK
        if isinstance(self._reply_framing, Chunked):
            return (b"" if self._payload is not None else LAST_CHUNK) if self._reply_framing.between_chunks else None
        return b"" if isinstance(self._reply_framing, UntilClose) else None

    # What the pool calls.

    def fileno(self) -> int:
        return fileno(self.transport)

    def _begin_reply(self, exchange: Exchange, data: bytes, end: int) -> None:
        """`end` is that of the first head, less than 4 if it is not there."""
        while True:
            if not 4 <= end <= MOST_HEAD_BYTES:
                if len(data) > MOST_HEAD_BYTES:
                    raise ProtocolError(HTTPStatus.BAD_GATEWAY, f"a head of over {MOST_HEAD_BYTES} bytes")
                reply.check_beginning(data)
                self._early = data
                return
            head = self._head = reply.known[data[:end]]
            if head.status >= 200:
                break
            if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
                self._switch_protocols(exchange, head, data[end:])
                return
            if exchange.head.http_1_1:
                self._write(exchange, head.for_client())
            data = data[end:]
            if not data:
                return
            end = data.find(b"\r\n\r\n") + 4
        self._frame(exchange, head)
        client = exchange.client
        keep = exchange.keep_client
        if keep and (client.shared.closing or client.request_framing is not None):
            keep = exchange.keep_client = False
        if keep and exchange.head.http_1_1 and not self._encode:
            out = head.kept_alive
        else:
            chunked = self._encode or (head.chunked and exchange.head.http_1_1)
            out = head.for_client(chunked=chunked, connection=exchange.connection_field)
        framing = self._reply_framing
        # Once it is answered, nothing can be said to the client of a body that is malformed.
        body_end = framing.feed(data, end) if framing and end < len(data) else MORE
        exchange.answered(head)
        client.update_deadline()
        if framing is None:
            self._write(exchange, out)
            # Some apps send the body all the same: it must not pass for the reply to the next request.
            may_follow = exchange.head.method == b"HEAD" or head.length
            self._finish(exchange, head, end == len(data) and not may_follow)
        elif end == len(data):
            self._write(exchange, out)
        else:
            self._relay(exchange, data, end, body_end, out)

    def _frame(self, exchange: Exchange, head: ReplyHead) -> None:
        """Says how the body ends, for the app and for the client; None where there is no body."""
        self._encode = False
        self._payload = None
        if exchange.head.method == b"HEAD" or head.status in BODYLESS or head.length == 0:
            self._reply_framing = None
        elif head.length is not None:
            self._reply_framing = Sized(head.length)
        elif head.chunked:
            self._payload = None if exchange.head.http_1_1 else []
            self._reply_framing = Chunked(reply.TRAILERS, self._payload, REPLY_LINES)
            if not exchange.head.http_1_1:
                exchange.keep_client = False
        else:
            self._reply_framing = UntilClose()
            self._encode = exchange.head.http_1_1
            if not exchange.head.http_1_1:
                exchange.keep_client = False

    def _relay(self, exchange: Exchange, data: bytes, at: int, end: int, head: bytes = b"") -> None:
        """Sends on what came of the body, which ends at `end`, behind the head if that goes out only now."""
        stop = len(data) if end == MORE else end
        if self._payload is not None:
            part = b"".join(self._payload)
            self._payload.clear()
        elif isinstance(self._reply_framing, Chunked):
            part = self._reply_framing.passed(data, at, stop)
        else:
            part = data[at:stop]
            if self._encode:
                part = chunk(part)
        if head and len(part) <= WRITTEN_AT_ONCE:
            self._write(exchange, head + part)
        else:
            if head:
                self._write(exchange, head)
            if part:
                self._write(exchange, part)
        if end != MORE:
            assert self._head
            self._finish(exchange, self._head, end == len(data))

    def _waits(self) -> bool:
        return self._exchange is not None and self._exchange.client.congested

    def _write(self, exchange: Exchange, data: bytes) -> None:
        exchange.sent += len(data)
        exchange.client.transport.write(data)

    def _finish(self, exchange: Exchange, head: ReplyHead, clean: bool) -> None:
        """`clean`: the app sends nothing beyond its reply.

        Servers that take an upgrade out of their hands read no more requests, even where the answer is no switch.
        """
        self._exchange = None
        self._head = None
        self._reply_framing = None
        now_s = monotonic()
        client = exchange.client
        if clean and not (head.close or self.congested or exchange.head.upgrade) and client.request_framing is None:
            self.reused = True
            if client.congested:
                self.transport.resume_reading()
            self._pool.put(self, now_s, head.keep_s, exchange.head.repeatable)
        else:
            self.transport.abort()
        exchange.finished(now_s)

    def _switch_protocols(self, exchange: Exchange, head: ReplyHead, early: bytes) -> None:
        if not head.upgrade or not list_members(head.upgrade) <= list_members(exchange.head.upgrade):
            raise ProtocolError(HTTPStatus.BAD_GATEWAY, "it switches to a protocol that nobody asked for")
        self._exchange = None
        exchange.answered(head)
        self._write(exchange, head.for_tunnel())
        Tunnel(exchange, self.transport, websocket=head.upgrade.lower() == b"websocket").open(early)
