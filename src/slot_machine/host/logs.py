"""The log of a slot: the output of its setup and of the app, as it comes."""

import os
from pathlib import Path

TAIL_LINES = 20
TAIL_BYTES = 16_384


class SlotLog:
    """One start's part of a slot's log file. The app writes to `fd` itself; nothing stands between."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._start = os.fstat(self.fd).st_size

    def write_line(self, line: str) -> None:
        os.write(self.fd, f"{line}\n".encode(errors="replace"))

    def tail(self) -> tuple[str, ...]:
        """The last lines of this start."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._start, size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return tuple(line for line in lines if line.strip())[-TAIL_LINES:]

    def close(self) -> None:
        os.close(self.fd)
