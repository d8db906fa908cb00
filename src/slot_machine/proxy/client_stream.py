"""A client's connection as a stream of bytes: read or paused, and closed so that its last bytes arrive."""

import asyncio
import socket
import struct
from math import inf

from slot_machine.proxy.sockets import fileno, readable, unsent
from slot_machine.proxy.turns import end_turn

SENT_AT_ONCE = 14_600
"""Bytes that the kernel sends without waiting for the client (RFC 6928): no reset overtakes them."""

BROKEN = struct.pack("ii", 1, 0)
"""For SO_LINGER (socket(7)): no time to linger, so the other side gets a reset."""


class ClientStream(asyncio.BufferedProtocol):
    """`congested`: the client reads more slowly than the app writes. `paused`: the client is not read.

    `deadline_s` is when its time limit ends, on the monotonic clock.
    """

    __slots__ = ("_lingering", "_seen_unsent", "congested", "deadline_s", "paused", "transport")

    transport: asyncio.Transport

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.congested = False
        self.paused = False
        self._lingering = False
        self._seen_unsent = inf

    def update_deadline(self) -> None:
        """Call it when the connection begins to wait for something else."""
        raise NotImplementedError

    def pause(self) -> None:
        if not self.transport.is_closing():
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Reads the client again. Its time limit begins anew, because it could not send meanwhile."""
        if self.paused and not self.transport.is_closing():
            self.paused = False
            self.transport.resume_reading()
            self.update_deadline()

    def end_turn(self, nbytes: int) -> None:
        """Call it after a read of `nbytes`."""
        end_turn(self.transport, nbytes, lambda: self.paused)

    def linger(self) -> None:
        """Closes so that the last bytes arrive though the client may still be sending (RFC 9112 section 9.6)."""
        self._lingering = True
        if self.transport.is_closing():
            return
        self.resume()
        self.transport.write_eof()
        self._seen_unsent = inf
        self.update_deadline()

    def reset(self) -> None:
        """Resets the connection, where the client would take an ordinary close for the end of the reply."""
        if not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, BROKEN)
            self.transport.abort()

    def end_if_stuck(self, transport: asyncio.Transport, now_s: float, stall_s: float) -> None:
        """Aborts `transport` if its other side has taken nothing since the last look. Else looks again later."""
        seen, self._seen_unsent = self._seen_unsent, unsent(transport)
        if self._seen_unsent >= seen:
            transport.abort()
        else:
            self.deadline_s = now_s + stall_s

    @property
    def _unsent(self) -> int:
        """Bytes that the client has yet to take. While it lingers, those in the kernel's queue count as well."""
        if self._lingering and not self.transport.is_closing():
            return unsent(self.transport)
        return self.transport.get_write_buffer_size()

    @property
    def _is_clear(self) -> bool:
        """Whether a close loses nothing. If bytes of the client are unread or come later, the kernel sends a reset."""
        transport = self.transport
        return transport.is_closing() or not (readable(fileno(transport)) or unsent(transport) > SENT_AT_ONCE)

    def _look_soon(self) -> None:
        """The next sweep begins to look at unsent bytes: most readers have gone on by then."""
        self._seen_unsent = inf
        self.deadline_s = 0.0
