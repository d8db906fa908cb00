"""A terminal of its own for a command that must not have the caller's: a pseudoterminal (pty(7)), and its relay."""

import fcntl
import os
import select
import signal
import stat
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

STDIN, STDOUT, STDERR = 0, 1, 2
PIECE = 65_536

Attributes = list[int | list[bytes | int]]


class Relay:
    """Passes keys and output between the caller's terminal and the command's.

    `streams` are what the command gets as stdin, stdout and stderr; None is the caller's own, which is no terminal.
    `slave` is the command's side of its terminal, -1 if the caller has none.
    """

    def __init__(self, owner: int) -> None:
        """`owner` is the uid of the command's terminal."""
        on_terminal = [fd for fd in (STDIN, STDOUT, STDERR) if os.isatty(fd)]
        self.master = self.slave = -1
        self._screen = next((fd for fd in (STDOUT, STDERR, STDIN) if fd in on_terminal), -1)
        if on_terminal:
            self.master, self.slave = os.openpty()
            os.fchown(self.slave, owner, -1)
            os.set_blocking(self.master, False)
            self.resize()
        # Where another program of a pipeline reads the keys, such as a pager, they are not taken from it.
        self._has_keys = STDIN in on_terminal and not _is_pipe(STDOUT) and _in_foreground(STDIN)
        self.streams: list[int | None] = [self.slave if fd in on_terminal else None for fd in (STDIN, STDOUT, STDERR)]
        if STDIN in on_terminal and not self._has_keys:
            self.streams[STDIN] = os.open(os.devnull, os.O_RDONLY)

    @classmethod
    @contextmanager
    def of_caller(cls, owner: int) -> Iterator[Self]:
        """The caller's terminal is afterwards as it was."""
        relay = cls(owner)
        before = termios.tcgetattr(STDIN) if relay._has_keys else None
        try:
            if before:
                # What was typed before is kept.
                tty.setraw(STDIN, termios.TCSADRAIN)
            yield relay
        finally:
            if before:
                _restore(STDIN, before)
            relay._close()

    def resize(self, _: int = 0) -> None:
        """Gives the command's terminal the size of the caller's."""
        if self._screen >= 0:
            with suppress(OSError):
                size = fcntl.ioctl(self._screen, termios.TIOCGWINSZ, bytes(8))
                fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def until_ended(self, pid: int) -> None:
        """Returns when the process has ended and its output was passed on."""
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1
        ended = os.pidfd_open(pid)
        try:
            self._pass_on(ended)
        finally:
            os.close(ended)

    def _pass_on(self, ended: int) -> None:
        sources = {ended} | ({self.master} if self.master >= 0 else set())
        sources |= {STDIN} if self._has_keys else set()
        keys = b""
        while True:
            # More keys are read when the command has taken the last ones.
            asked = sources - {STDIN} if keys else sources
            readable, writable, _ = select.select(asked, [self.master] if keys else [], [])
            if self.master in readable:
                if output := _read(self.master):
                    _write(self._screen, output)
                else:
                    # Nobody has the command's terminal open any more.
                    sources, keys, writable = {ended}, b"", []
            elif ended in readable:
                return
            if STDIN in readable and STDIN in sources:
                keys = _read(STDIN)
                sources -= set() if keys else {STDIN}
            if writable:
                with suppress(BlockingIOError):
                    keys = keys[os.write(self.master, keys) :]

    def _close(self) -> None:
        for fd in {self.master, self.slave, *(fd for fd in self.streams if fd is not None)}:
            if fd >= 0:
                with suppress(OSError):
                    os.close(fd)


def _is_pipe(fd: int) -> bool:
    return stat.S_ISFIFO(os.fstat(fd).st_mode)


def _in_foreground(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False


def _restore(terminal: int, before: Attributes) -> None:
    """Without being stopped, if the shell has put us into the background meanwhile."""
    handler = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with suppress(termios.error):
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
    signal.signal(signal.SIGTTOU, handler)


def _read(fd: int) -> bytes:
    """Empty at its end. The end of a terminal is an error on Linux."""
    try:
        return os.read(fd, PIECE)
    except OSError:
        return b""


def _write(fd: int, data: bytes) -> None:
    with suppress(OSError):
        while data:
            data = data[os.write(fd, data) :]
