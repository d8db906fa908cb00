"""Whether the pusher is still there. Git tells its hook nothing: it only stops to read what the hook prints."""

import fcntl
import signal
import struct
import termios
from types import FrameType

STDERR = 2
TICK_S = 5.0
PATIENCE = 4
"""In ticks."""


class PusherLeft(Exception):
    pass


class Presence:
    """Inside, PusherLeft is raised when what was printed is not read for a while, also within a call that blocks.

    A deploy that has begun goes on. One that waits for its turn loses it. There is always something to read, because
    `progress.Plain` says every 30 s what goes on.
    """

    def __init__(self, fd: int = STDERR) -> None:
        self._fd = fd
        self._unread = 0
        self._stuck = 0

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _tick(self, _signum: int, _frame: FrameType | None) -> None:
        unread = _unread(self._fd)
        self._stuck = self._stuck + 1 if unread and unread >= self._unread else 0
        self._unread = unread
        if self._stuck > PATIENCE:
            raise PusherLeft


def _unread(fd: int) -> int:
    """Bytes in a pipe that its reader has not taken; 0 for anything else."""
    try:
        answer = fcntl.ioctl(fd, termios.FIONREAD, bytes(struct.calcsize("i")))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])
