"""A connection to the app: one request after the other, each with its reply."""

import asyncio
import os
from contextlib import suppress
from http import HTTPStatus
from time import monotonic
from typing import cast

from slot_machine.proxy import pages, second_try
from slot_machine.proxy.exchange import Connection, Exchange
from slot_machine.proxy.framing import MORE, Framing, UntilClose
from slot_machine.proxy.heads import reply
from slot_machine.proxy.heads.fields import MOST_HEAD_BYTES, ProtocolError, list_members
from slot_machine.proxy.heads.reply import ReplyHead
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.reply_framing import Encoded, reply_framing
from slot_machine.proxy.sockets import fileno
from slot_machine.proxy.tunnel import Tunnel
from slot_machine.proxy.turns import end_turn

READ_BYTES = 262_144
WRITTEN_AT_ONCE = 16_384
"""Bytes of a body that are joined to the head: up to here a copy costs less than a second write."""


class AppConnection(asyncio.Protocol):
    """Implements Connection. `_early` is the beginning of a head that is not complete."""

    __slots__ = (
        "_early",
        "_exchange",
        "_head",
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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._read_what_is_left()
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            self._pool.lost(self, monotonic())
        elif isinstance(self._reply_framing, UntilClose) and exc is None and not exchange.winding_up:
            if ending := self._reply_framing.clean_ending:
                self._write(exchange, ending)
            exchange.finished(monotonic())
        else:
            exchange.app_lost("the app closed the connection before it answered")

    def _read_what_is_left(self) -> None:
        """A write to a connection that was reset ends it before the app's reply was read, which may say why."""
        with suppress(OSError):
            while self._exchange and (left := os.read(self.fileno(), READ_BYTES)):
                self.data_received(left)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # No request is on it: what came can't be a reply, and no other request may use it.
            self._pool.lost(self, monotonic())
            self.transport.abort()
            return
        try:
            framing = self._reply_framing
            if framing is not None:
                self._relay(exchange, framing, data, 0, framing.feed(data, 0))
                end_turn(self.transport, len(data), self._waits)
                return
            if self._early:
                data, self._early = self._early + data, b""
            end = data.find(b"\r\n\r\n") + 4
            head = reply.known.get(data[:end])
            client, rule = exchange.client, exchange.rule
            if (
                head is None
                or head.whole != len(data)
                or not exchange.head.plain
                or client.request_framing is not None
                or (rule is not None and (exchange.missing or rule.elsewhere(head)))
            ):
                self._begin_reply(exchange, data, end)
                return
            # Most replies: all of it has come and no more, the client takes it as it is, and its request is complete.
            keep = exchange.keep_client = exchange.keep_client and not client.shared.closing
            exchange.status = head.status
            change = rule.change(head) if rule is not None else None
            if not keep:
                out = head.for_client(connection=b"close", change=change) + data[end:]
            else:
                out = head.kept_alive + data[end:] if change is None else head.in_one_piece(data[end:], change)
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
        """Only an event stream may end at any chunk: a part of another reply would pass for the whole."""
        event_stream = self._head is not None and self._head.event_stream
        return self._reply_framing.clean_ending if event_stream and self._reply_framing else None

    # What the pool calls.

    def fileno(self) -> int:
        return fileno(self.transport)

    def _begin_reply(self, exchange: Exchange, data: bytes, end: int) -> None:
        """`end` is that of the first head; it is less than 4 if that has not come."""
        while True:
            if not 4 <= end <= MOST_HEAD_BYTES:
                if len(data) > MOST_HEAD_BYTES:
                    raise ProtocolError(HTTPStatus.BAD_GATEWAY, f"a head of over {MOST_HEAD_BYTES} bytes")
                reply.check_beginning(data)
                self._early = data
                return
            head = self._head = reply.known[data[:end]]
            if head.status >= 200:
                self._answer(exchange, head, data, end)
                return
            if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
                self._switch_protocols(exchange, head, data[end:])
                return
            if exchange.head.http_1_1:
                self._write(exchange, head.for_client())
            data = data[end:]
            if not data:
                return
            end = data.find(b"\r\n\r\n") + 4

    def _answer(self, exchange: Exchange, head: ReplyHead, data: bytes, end: int) -> None:
        """Sends the head, which ends at `end`, with what has come of the body."""
        if second_try.asks_elsewhere(exchange, head):
            self.cut()
            second_try.ask_elsewhere(exchange)
            return
        if exchange.missing and second_try.lacks_too(head):
            exchange.fail(HTTPStatus.NOT_FOUND, pages.NO_FILE)
            return
        client, http_1_1, rule = exchange.client, exchange.head.http_1_1, exchange.rule
        framing = self._reply_framing = reply_framing(exchange.head, head)
        ends_with_connection = not http_1_1 and framing is not None and head.length is None
        if client.shared.closing or client.request_framing is not None or ends_with_connection:
            exchange.keep_client = False
        encodes = isinstance(framing, Encoded)
        if exchange.keep_client and http_1_1 and not encodes and rule is None:
            out = head.kept_alive
        else:
            chunked, change = encodes or (head.chunked and http_1_1), rule.change(head) if rule else None
            out = head.for_client(chunked=chunked, connection=exchange.connection_field, change=change)
        # Before `answered`: after it, the client can't be told that the body is malformed.
        body_end = framing.feed(data, end) if framing and end < len(data) else MORE
        exchange.answered(head)
        client.update_deadline()
        if framing is None:
            self._write(exchange, out)
            # Some apps send a body here all the same: it must not pass for the reply to the next request.
            may_follow = exchange.head.method == b"HEAD" or head.length
            self._finish(exchange, head, end == len(data) and not may_follow)
        elif end == len(data):
            self._write(exchange, out)
        else:
            self._relay(exchange, framing, data, end, body_end, out)

    def _relay(self, exchange: Exchange, framing: Framing, data: bytes, at: int, end: int, head: bytes = b"") -> None:
        """Passes on what came of the body, which ends at `end`, after the head if the client has not got that yet."""
        part = framing.passed(data, at, len(data) if end == MORE else end)
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
        """`clean`: the app sent nothing beyond its reply.

        After a request with Upgrade the connection is closed: some servers read no more requests, whatever they reply.
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
        self._write(exchange, head.for_tunnel(exchange.rule.change(head) if exchange.rule else None))
        Tunnel(exchange, self.transport, websocket=head.upgrade.lower() == b"websocket").open(early)
