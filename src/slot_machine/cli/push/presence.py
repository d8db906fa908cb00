"""Whether the pusher is still there. Git tells its hook nothing: it only stops to read what the hook prints."""

import fcntl
import os
import signal
import struct
import sys
import termios
from types import FrameType

from slot_machine.host import printing

TICK_S = 5.0
PATIENCE = 4
"""In ticks."""
TELLS_EVERY = 6
"""While it waits for its turn, a push says so each so many ticks. Git passes it on at once, if somebody is there."""


class PusherLeft(Exception):
    pass


class Presence:
    """Inside, PusherLeft is raised when what was printed is not read for a while, also within a call that blocks.

    A deploy that has begun goes on. One that waits for its turn loses it.
    """

    def __init__(self) -> None:
        self.waits_for = ""
        """What it waits for, in words; empty once it has begun."""
        self._unread = 0
        self._stuck = 0
        self._ticks = 0

    def __enter__(self) -> "Presence":
        signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _tick(self, _signum: int, _frame: FrameType | None) -> None:
        unread = _unread(sys.stderr.fileno())
        self._stuck = self._stuck + 1 if unread and unread >= self._unread else 0
        if self._stuck > PATIENCE:
            raise PusherLeft
        self._unread = unread
        self._ticks += 1
        if self.waits_for and not unread and self._ticks % TELLS_EVERY == 0:
            # Not by sys.stderr, which may be in the midst of a write.
            os.write(sys.stderr.fileno(), f"still waiting {printing.shown(self.waits_for)}\n".encode())


def _unread(fd: int) -> int:
    """Bytes in a pipe that its reader has not taken; 0 for anything else."""
    try:
        answer = fcntl.ioctl(fd, termios.FIONREAD, bytes(struct.calcsize("i")))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])
