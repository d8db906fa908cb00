"""A client's connection: requests come in one after the other, and each waits for the reply to the one before it."""

import asyncio
import mmap
import re
import socket
import struct
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import cast

from slot_machine.proxy import pages
from slot_machine.proxy.chunked import Chunked
from slot_machine.proxy.exchange import Exchange
from slot_machine.proxy.framing import MORE, Framing, Sized
from slot_machine.proxy.heads import request
from slot_machine.proxy.heads.fields import MOST_CACHED_BYTES, MOST_HEAD_BYTES, ProtocolError
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.room import Idleness
from slot_machine.proxy.shared import Shared
from slot_machine.proxy.sockets import ended_by_peer, fileno, readable, unsent
from slot_machine.proxy.turns import end_turn

MOST_EARLY_BYTES = 65_536
READ_BYTES = 262_144
RECEIVED = mmap.mmap(-1, READ_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
"""What the latest read of any client brought. A slice of it is a copy."""

RECEIVED_EARLY = memoryview(RECEIVED)[:MOST_EARLY_BYTES]
LINGER_S = 2.0
SENT_AT_ONCE = 14_600
"""Bytes that the kernel sends without waiting for the client (RFC 6928): no reset overtakes them."""

BROKEN = struct.pack("ii", 1, 0)
"""For SO_LINGER (socket(7)): no time to linger, so the other side gets a reset."""

CR = 13
EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")
"""Ignored before a request (RFC 9112 section 2.2)."""

NO_BEGINNING = (b"", b"\r")


class ClientConnection(asyncio.BufferedProtocol):
    """`deadline_s` is when `expired` must be called: a sweep does it, so that no request needs a timer.

    `request_framing` is that of a request's body as long as not all of it has come. `congested`: the client reads more
    slowly than the app writes. `paused`: the client is not read. `half_closed`: one side of its tunnel sends no more.
    """

    __slots__ = (
        "_body_began",
        "_early",
        "_lingering",
        "_seen_unsent",
        "congested",
        "deadline_s",
        "exchange",
        "half_closed",
        "listener",
        "paused",
        "request_framing",
        "sender",
        "shared",
        "transport",
    )

    def __init__(self, shared: Shared, listener: str) -> None:
        self.shared = shared
        self.listener = listener
        self.exchange: Exchange | None = None
        self.deadline_s = monotonic() + shared.limits.idle_s
        self.request_framing: Framing | None = None
        self._body_began = False
        self._early = b""
        self._lingering = False
        self._seen_unsent = inf
        self.congested = False
        self.half_closed = False
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if not peer:
            self.transport.abort()
            return
        if not self.shared.room.made(monotonic()):
            self.shared.observe_error(HTTPStatus.SERVICE_UNAVAILABLE, 0, 0)
            self.transport.abort()
            return
        self.sender = self.shared.sender(peer[0])
        self.shared.clients.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.shared.clients.discard(self)
        if self.exchange:
            self.exchange.client_left()

    def get_buffer(self, _: int) -> mmap.mmap | memoryview:
        """Where to read to, and how much: a body is sent on, anything else may have to be kept."""
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
        self.deadline_s = now_s + shared.limits.response_s
        if head.meaning.has_body and not self._begin_body(exchange):
            return
        shared.router.claim(exchange)

    def pause_writing(self) -> None:
        self.congested = True
        self._look_soon()
        if self.exchange and self.exchange.app:
            self.exchange.app.transport.pause_reading()

    def resume_writing(self) -> None:
        self.congested = False
        self._set_deadline()
        if self._early:
            asyncio.get_running_loop().call_soon(self._next)
        if self.exchange and self.exchange.app:
            self.exchange.app.transport.resume_reading()

    # What an exchange and the app's side of it call.

    def pause(self) -> None:
        if not self.transport.is_closing():
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Reads the client again; the time that it was not read is not held against it."""
        if self.paused and not self.transport.is_closing():
            self.paused = False
            self.transport.resume_reading()
            self._set_deadline()

    def end_turn(self, nbytes: int) -> None:
        """`nbytes`: what was read in it."""
        end_turn(self.transport, nbytes, lambda: self.paused)

    def update_deadline(self) -> None:
        """What its exchange waits for has changed."""
        self._set_deadline()

    def ended(self, exchange: Exchange, now_s: float) -> None:
        """The reply to it is written. Only a client that its head told so loses the connection, or one at rest."""
        self.exchange = None
        if not exchange.keep_client:
            # Most last replies: the client said that it sends no more, so the kernel need not be asked.
            is_short = exchange.sent <= SENT_AT_ONCE and not self.congested
            self._close(said_so=is_short and not exchange.head.keep_alive)
            return
        if self.congested:
            self._set_deadline()
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
        """Closes so that the last bytes arrive though the client may still be sending (RFC 9112 section 9.6)."""
        self._lingering = True
        self._early = b""
        self.exchange = None
        if self.transport.is_closing():
            return
        self.resume()
        self.transport.write_eof()
        self._seen_unsent = inf
        self._set_deadline()

    def reset(self) -> None:
        """Breaks the connection, where its mere end would pass for that of the reply."""
        if not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, BROKEN)
            self.transport.abort()

    def upgraded(self) -> bytes:
        """The connection is a tunnel's from here on. Returns what came early for it."""
        self._set_deadline()
        self.resume()
        early, self._early = self._early, b""
        return early

    def half_closes(self) -> None:
        """The other side of the tunnel goes on, for as long as it makes progress."""
        self.half_closed = True
        self._look_soon()

    def pause_tunnel(self) -> None:
        self.pause()
        if self.paused:
            self._look_soon()

    # What the server calls.

    def close_if_idle(self) -> None:
        """A request that has come and was not read yet is served."""
        if self.exchange is None and not self._early and not readable(fileno(self.transport)):
            self._close()

    @property
    def idleness(self) -> Idleness | None:
        """Its deadlines keep the order of what they count from."""
        if self.exchange or self._lingering or self.transport.is_closing() or self.transport.get_write_buffer_size():
            return None
        return Idleness(bool(self._early), self.deadline_s)

    def make_way(self) -> bool:
        if readable(fileno(self.transport)):
            return False
        self.transport.abort()
        return True

    def left_unnoticed(self) -> bool:
        """Whether a client that is not read has closed its side. In a tunnel that may be one half of it."""
        return not self._has_tunnel and ended_by_peer(fileno(self.transport))

    def expired(self, now_s: float) -> None:
        """Ends what took too long."""
        exchange, limits = self.exchange, self.shared.limits
        closing = self._lingering or self.transport.is_closing()
        self.deadline_s = inf
        if self.congested or ((closing or exchange is None) and self._unsent):
            self._end_if_stuck(self.transport, now_s)
        elif closing:
            self.transport.abort()
        elif exchange is None:
            if self._early:
                self._refuse(ProtocolError(HTTPStatus.REQUEST_TIMEOUT, f"no complete head within {limits.head_s:g} s"))
            else:
                # What has come and was not read yet may be no request: the next sweep looks again.
                self.deadline_s = now_s
                self.close_if_idle()
        elif exchange.app and self._waits_for_app:
            self._end_if_stuck(exchange.app.transport, now_s)
        elif exchange.held:
            exchange.fail(HTTPStatus.SERVICE_UNAVAILABLE, "held for too long while a new version starts")
        elif self._waits_for_body:
            exchange.fail(HTTPStatus.REQUEST_TIMEOUT, f"nothing of the request's body came for {limits.stall_s:g} s")
        else:
            exchange.fail(HTTPStatus.GATEWAY_TIMEOUT, f"the app did not answer within {limits.response_s:g} s")

    @property
    def _unsent(self) -> int:
        """Bytes that it has yet to take. While it lingers, those in the kernel's queue count as well."""
        if self._lingering and not self.transport.is_closing():
            return unsent(self.transport)
        return self.transport.get_write_buffer_size()

    @property
    def _waits_for_body(self) -> bool:
        """It is the client's turn: it is read, and does not wait for `100 Continue`."""
        return self.request_framing is not None and self._body_began and not self.paused

    @property
    def _has_tunnel(self) -> bool:
        return self.exchange is not None and self.exchange.status == HTTPStatus.SWITCHING_PROTOCOLS

    @property
    def _waits_for_app(self) -> bool:
        """Its tunnel goes on once the app reads, or ends."""
        return self.half_closed or (self.paused and self._has_tunnel)

    def _look_soon(self) -> None:
        """The next sweep begins to look at what is unsent: most readers go on before it comes."""
        self._seen_unsent = inf
        self.deadline_s = 0.0

    def _end_if_stuck(self, transport: asyncio.Transport, now_s: float) -> None:
        """If its other side took nothing since the last time."""
        seen, self._seen_unsent = self._seen_unsent, unsent(transport)
        if self._seen_unsent >= seen:
            transport.abort()
        else:
            self.deadline_s = now_s + self.shared.limits.stall_s

    def _set_deadline(self) -> None:
        """The limit that goes with what is going on. Most requests take a short cut, in `data_received` and `ended`."""
        limits, exchange = self.shared.limits, self.exchange
        if self.congested:
            self._look_soon()
            return
        if self._lingering or self.transport.is_closing():
            limit_s = LINGER_S
        elif exchange is None:
            limit_s = limits.idle_s
        elif exchange.held:
            limit_s = limits.hold_s
        elif self._waits_for_app:
            self._look_soon()
            return
        elif exchange.status:
            limit_s = inf
        else:
            limit_s = limits.stall_s if self._waits_for_body else limits.response_s
        self.deadline_s = monotonic() + limit_s

    def _more(self, data: bytes) -> None:
        """Of the body, or for later; of no interest once the last reply is written."""
        if self._lingering:
            return
        if self.exchange is not None and self.request_framing is not None:
            self._more_body(self.exchange, data)
            return
        self._keep_early(self._early + data)

    def _keep_early(self, data: bytes) -> None:
        """It is not the client's turn: what one read brought is kept, and nothing more is read."""
        self._early = data
        if data:
            self.pause()

    def _next(self) -> None:
        """What came early is next, if it is its turn."""
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
        end = data.find(b"\r\n\r\n") + 4
        try:
            if 4 <= end <= MOST_HEAD_BYTES:
                head = request.known[data[:end]]
                if head.meaning.has_body:
                    self._early = data[end:]
                else:
                    self._keep_early(data[end:])
                return head
            if len(data) > MOST_HEAD_BYTES:
                why = f"a head of over {MOST_HEAD_BYTES} bytes"
                raise ProtocolError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, why)
            request.check_beginning(data)
        except ProtocolError as error:
            self._refuse(error, len(data))
        else:
            self._keep_beginning(data)
        return None

    def _keep_beginning(self, data: bytes) -> None:
        """Of a head. Its time runs from the first byte on, but for empty lines."""
        self.resume()
        if data not in NO_BEGINNING and self._early in NO_BEGINNING:
            self.deadline_s = monotonic() + self.shared.limits.head_s
        self._early = data

    def _begin_body(self, exchange: Exchange) -> bool:
        """Whether what came of the body is well-formed. The rest is read once the app has the head."""
        first, self._early = self._early, b""
        meaning = exchange.head.meaning
        self.request_framing = Chunked(request.TRAILERS) if meaning.chunked else Sized(meaning.length)
        self._body_began = not meaning.expects_continue
        if first:
            self._more_body(exchange, first)
        if self.request_framing is not None:
            self.pause()
            self._set_deadline()
        return self.exchange is exchange

    def _more_body(self, exchange: Exchange, data: bytes) -> None:
        assert self.request_framing
        try:
            end = self.request_framing.feed(data, 0)
        except ProtocolError as error:
            # What went to the app already can't be completed.
            exchange.keep_client = False
            exchange.fail(error.status, str(error))
            return
        self._body_began = True
        if end == MORE:
            exchange.received += len(data)
            exchange.more_body(data)
            self._set_deadline()
            self.end_turn(len(data))
            return
        self.request_framing = None
        self._keep_early(data[end:])
        exchange.received += end
        exchange.more_body(data[:end])
        self._set_deadline()

    def _refuse(self, error: ProtocolError, bytes_in: int = 0) -> None:
        """Takes nothing more from this client."""
        page = pages.reply(error.status, str(error), b"", connection=b"close", head_only=False)
        self.shared.observe_error(error.status, bytes_in, len(page))
        self.transport.write(page)
        self.linger()

    def _close(self, *, said_so: bool = False) -> None:
        """`said_so`: the client sends no more, and what is on its way to it is short."""
        if self.request_framing is not None or self._early or not (said_so or self._is_clear):
            self.request_framing = None
            self.linger()
        else:
            self.transport.close()
            self._seen_unsent = inf
            self._set_deadline()

    @property
    def _is_clear(self) -> bool:
        """What comes after a close, or was not read before it, resets the connection: what is on its way is lost."""
        transport = self.transport
        return transport.is_closing() or not (readable(fileno(transport)) or unsent(transport) > SENT_AT_ONCE)
