"""A client's connection: requests come in one after the other, and each waits for the reply to the one before it."""

import asyncio
import mmap
import re
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import cast

from slot_machine.proxy import pages
from slot_machine.proxy.chunked import Chunked
from slot_machine.proxy.client_stream import SENT_AT_ONCE, ClientStream
from slot_machine.proxy.exchange import Exchange
from slot_machine.proxy.framing import MORE, Framing, Sized
from slot_machine.proxy.heads import request
from slot_machine.proxy.heads.fields import MOST_CACHED_BYTES, ProtocolError
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.room import Idleness
from slot_machine.proxy.shared import Shared
from slot_machine.proxy.sockets import ended_by_peer, fileno, readable
from slot_machine.proxy.waiting import State

MOST_EARLY_BYTES = 65_536
READ_BYTES = 262_144
RECEIVED = mmap.mmap(-1, READ_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
"""The buffer for reads of all clients. A slice of it is a copy."""

RECEIVED_EARLY = memoryview(RECEIVED)[:MOST_EARLY_BYTES]
CR = 13
EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")
"""Ignored before a request (RFC 9112 section 2.2)."""

NO_BEGINNING = (b"", b"\r")


class ClientConnection(ClientStream):
    """Implements ClientSide, Client and Waiter.

    `request_framing` is that of a request's body until all of it has come. `half_closed`: one side of its tunnel sends
    no more. `_early` is the beginning of a head, or what came before its turn.
    """

    __slots__ = (
        "_body_began",
        "_early",
        "exchange",
        "half_closed",
        "listener",
        "request_framing",
        "sender",
        "shared",
    )

    def __init__(self, shared: Shared, listener: str) -> None:
        super().__init__(monotonic() + shared.limits.idle_s)
        self.shared = shared
        self.listener = listener
        self.exchange: Exchange | None = None
        self.request_framing: Framing | None = None
        self._body_began = False
        self._early = b""
        self.half_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if not peer:
            self.transport.abort()
            return
        self.sender = self.shared.sender(peer[0])
        if not self.shared.room.made(monotonic()):
            self.shared.observe_error(HTTPStatus.SERVICE_UNAVAILABLE, 0, 0, self.sender)
            self.transport.abort()
            return
        self.shared.clients.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.shared.clients.discard(self)
        if self.exchange:
            self.exchange.client_left()

    def get_buffer(self, _: int) -> mmap.mmap | memoryview:
        """The buffer for the next read: a large one for a body, a small one for bytes that may have to be kept."""
        return RECEIVED_EARLY if self.request_framing is None else RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(RECEIVED[:nbytes])

    def data_received(self, data: bytes) -> None:
        if self.exchange is not None or self.congested or self._lingering:
            self._more(data)
            return
        if self._early:
            data = self._early + data
        head = request.known.get(data) if len(data) <= MOST_CACHED_BYTES else None
        if head is not None:
            self._early = b""
        elif (head := self._read_head(data)) is None:
            return
        now_s = monotonic()
        exchange = self.exchange = Exchange(self, head, now_s)
        shared = self.shared
        self.deadline_s = now_s + shared.reply_s
        if head.meaning.has_body and not self._begin_body(exchange):
            return
        if head.ours:
            shared.claim_with_ours(exchange)
        else:
            shared.claim(exchange)

    def pause_writing(self) -> None:
        self.congested = True
        self._look_soon()
        if self.exchange and self.exchange.app:
            self.exchange.app.transport.pause_reading()

    def resume_writing(self) -> None:
        self.congested = False
        self.update_deadline()
        if self._early:
            asyncio.get_running_loop().call_soon(self._next)
        if self.exchange and self.exchange.app:
            self.exchange.app.transport.resume_reading()

    # What an exchange and the app's side of it call.

    def ended(self, exchange: Exchange, now_s: float) -> None:
        """Its reply is written. The connection is closed only if the reply's head said so, or if it is idle."""
        self.exchange = None
        if not exchange.keep_client:
            # Most last replies: the client said that it sends no more, so there is no need to ask the kernel.
            is_short = exchange.sent <= SENT_AT_ONCE and not self.congested
            self._close(said_so=is_short and not exchange.head.keep_alive)
            return
        if self.congested:
            self.update_deadline()
        else:
            self.deadline_s = now_s + self.shared.limits.idle_s
        if self.paused:
            if self._early:
                asyncio.get_running_loop().call_soon(self._next)
            else:
                self.resume()
        if self.shared.ending:
            self.close_if_idle()

    def linger(self) -> None:
        self._early = b""
        self.exchange = None
        super().linger()

    def upgraded(self) -> bytes:
        """The connection is a tunnel's from now on. Returns what has come for it already."""
        self.update_deadline()
        self.resume()
        early, self._early = self._early, b""
        return early

    def half_closes(self) -> None:
        """One side of the tunnel has ended. The other goes on for as long as it makes progress."""
        self.half_closed = True
        self._look_soon()

    def pause_tunnel(self) -> None:
        self.pause()
        if self.paused:
            self._look_soon()

    # What the server calls.

    def close_if_idle(self) -> None:
        """A request that has come and was not read yet is served first."""
        if self.exchange is None and not self._early and not readable(fileno(self.transport)):
            self._close()

    @property
    def idleness(self) -> Idleness | None:
        """All idle clients have the same limit, so their deadlines are in the order of their last activity."""
        if self.exchange or self._lingering or self.transport.is_closing() or self.transport.get_write_buffer_size():
            return None
        return Idleness(bool(self._early), self.deadline_s)

    def make_way(self) -> bool:
        if readable(fileno(self.transport)):
            return False
        self.transport.abort()
        return True

    def left_unnoticed(self) -> bool:
        """Whether the client has closed its side while it is not read. In a tunnel, that may be a half-close."""
        return not self._has_tunnel and ended_by_peer(fileno(self.transport))

    def expired(self, now_s: float) -> None:
        """To be called when `deadline_s` has passed."""
        state, waiting = self._state, self.shared.waiting
        if state in (waiting.for_close, waiting.for_request, waiting.for_head) and self._unsent:
            state = waiting.for_reader
        self.deadline_s = inf
        state.expire(self, now_s)

    # What its state calls when it expires.

    def close_if_still_idle(self, now_s: float) -> None:
        """Bytes that have come and were not read yet may be no request, so the next sweep looks again."""
        self.deadline_s = now_s
        self.close_if_idle()

    def refuse(self, error: ProtocolError, bytes_in: int = 0) -> None:
        """Takes nothing more from this client."""
        page = pages.reply(error.status, str(error), b"", connection=b"close", head_only=False)
        self.shared.observe_error(error.status, bytes_in, len(page), self.sender)
        self.transport.write(page)
        self.linger()

    @property
    def _state(self) -> State:
        exchange, waiting = self.exchange, self.shared.waiting
        if self.congested:
            return waiting.for_reader
        if self._lingering or self.transport.is_closing():
            return waiting.for_close
        if exchange is None:
            return waiting.for_head if self._early else waiting.for_request
        if exchange.held:
            return waiting.for_route
        if self.half_closed or (self.paused and self._has_tunnel):
            return waiting.for_tunnel
        if exchange.status:
            return waiting.for_end
        if self._waits_for_body:
            return waiting.for_body
        return waiting.for_late_reply if exchange.late else waiting.for_reply

    def update_deadline(self) -> None:
        """Most requests take a short cut, in `data_received` and `ended`."""
        limit_s = self._state.limit_s
        if limit_s is None:
            self._look_soon()
        else:
            self.deadline_s = monotonic() + limit_s

    @property
    def _waits_for_body(self) -> bool:
        """Whether the client is to send: it is read, and does not wait for `100 Continue`."""
        return self.request_framing is not None and self._body_began and not self.paused

    @property
    def _has_tunnel(self) -> bool:
        return self.exchange is not None and self.exchange.status == HTTPStatus.SWITCHING_PROTOCOLS

    def _more(self, data: bytes) -> None:
        """More bytes: of the body, or for later. After the last reply they are dropped."""
        if self._lingering:
            return
        exchange = self.exchange
        if exchange is not None and self.request_framing is not None:
            self._more_body(exchange, data)
            if self.request_framing is None:
                exchange.asked_s = monotonic()
            self.update_deadline()
            return
        self._keep_early(self._early + data)

    def _keep_early(self, data: bytes) -> None:
        """Keeps what came before its turn, and reads no more."""
        self._early = data
        if data:
            self.pause()

    def _next(self) -> None:
        """Goes on with what came early, if it is its turn now."""
        if self.exchange is None and self._early and not self._lingering and not self.transport.is_closing():
            early, self._early = self._early, b""
            self.data_received(early)

    def _read_head(self, data: bytes) -> RequestHead | None:
        """Keeps what follows it. None if it is not complete, or refused."""
        if data[0] == CR:
            data = EMPTY_LINES.sub(b"", data, 1)
            if data in NO_BEGINNING:
                self._keep_beginning(data)
                return None
        try:
            head = request.first_head(data)
        except ProtocolError as error:
            self.refuse(error, len(data))
            return None
        if head is None:
            self._keep_beginning(data)
        elif head.meaning.has_body:
            self._early = data[head.size :]
        else:
            self._keep_early(data[head.size :])
        return head

    def _keep_beginning(self, data: bytes) -> None:
        """Keeps the beginning of a head. The time limit counts from its first byte, without empty lines."""
        self.resume()
        if data not in NO_BEGINNING and self._early in NO_BEGINNING:
            self.deadline_s = monotonic() + self.shared.limits.head_s
        self._early = data

    def _begin_body(self, exchange: Exchange) -> bool:
        """Whether what has come of the body is well-formed. More is read once the app has the head."""
        first, self._early = self._early, b""
        meaning = exchange.head.meaning
        self.request_framing = Chunked(request.TRAILERS) if meaning.chunked else Sized(meaning.length)
        self._body_began = not meaning.expects_continue
        if first:
            self._more_body(exchange, first)
        if self.request_framing is not None:
            self.pause()
            self.update_deadline()
        return self.exchange is exchange

    def _more_body(self, exchange: Exchange, data: bytes) -> None:
        assert self.request_framing
        try:
            end = self.request_framing.feed(data, 0)
        except ProtocolError as error:
            # The app can't get the rest of the request.
            exchange.keep_client = False
            exchange.fail(error.status, str(error))
            return
        self._body_began = True
        if end == MORE:
            exchange.received += len(data)
            exchange.more_body(data)
            self.end_turn(len(data))
            return
        self.request_framing = None
        self._keep_early(data[end:])
        exchange.received += end
        exchange.more_body(data[:end])

    def _close(self, *, said_so: bool = False) -> None:
        """`said_so`: the client has said that it sends no more, and few bytes are on their way to it."""
        if self.request_framing is not None or self._early or not (said_so or self._is_clear):
            self.request_framing = None
            self.linger()
        else:
            self.transport.close()
            self._seen_unsent = inf
            self.update_deadline()
