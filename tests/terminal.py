"""A terminal for a command, as a person has it (pty(7))."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

LIMIT_S = 20.0
TIOCGPTN = 0x80045430
"""ioctl_tty(2)"""


class Terminal:
    """`shown` is what the command has written since the text that was expected last, `before` what came up to it."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid = pid
        self.fd = fd
        self.shown = ""
        self.before = ""

    @property
    def name(self) -> str:
        """Such as `/dev/pts/3`."""
        (number,) = struct.unpack("i", fcntl.ioctl(self.fd, TIOCGPTN, bytes(4)))
        return f"/dev/pts/{number}"

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text: str) -> None:
        """Waits until it shows the text; takes away all up to there."""
        deadline_s = time.monotonic() + LIMIT_S
        while text not in self.shown:
            assert time.monotonic() < deadline_s, f"no {text!r} in {self.shown!r}"
            assert self._read(0.5) or text in self.shown, f"ended without {text!r}: {self.shown!r}"
        self.before, _, self.shown = self.shown.partition(text)

    def exit_code(self) -> int:
        """Waits for the end of the command; negative for a signal."""
        deadline_s = time.monotonic() + LIMIT_S
        while self._read(0.5):
            assert time.monotonic() < deadline_s, f"it does not end: {self.shown!r}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self, limit_s: float) -> bool:
        """False at its end."""
        if select.select([self.fd], [], [], limit_s)[0]:
            try:
                piece = os.read(self.fd, 65536)
            except OSError:
                return False
            self.shown += piece.decode(errors="replace")
            return bool(piece)
        return True


@contextlib.contextmanager
def on_terminal(command: Sequence[str | Path], cwd: Path, env: dict[str, str]) -> Iterator[Terminal]:
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execvpe(command[0], list(map(str, command)), env)
    terminal = Terminal(pid, fd)
    try:
        yield terminal
    finally:
        os.close(fd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
