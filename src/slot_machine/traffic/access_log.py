"""Rotates the access log by renaming it: each worker begins a new file when it next writes."""

import asyncio
import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0


class AccessLogRotation:
    """Of a file that nobody else rotates. `path` may be that of a device, or empty: then nothing happens."""

    def __init__(self, path: str, max_bytes: int, keep: int) -> None:
        """With `max_bytes` 0, the file is never rotated."""
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._inode = 0
        self._said = ""

    async def keep_small(self) -> None:
        """Runs until cancelled."""
        while self._path and self._max_bytes:
            try:
                self.rotate()
            except OSError as error:
                self._say(f"cannot rotate the access log: {error}")
            await asyncio.sleep(CHECK_INTERVAL_S)

    def rotate(self) -> None:
        """Raises OSError."""
        # A link stays a link to the present file.
        path = Path(os.path.realpath(self._path))
        try:
            found = path.stat()
        except FileNotFoundError:
            return
        renamed, self._inode = self._inode not in (0, found.st_ino), found.st_ino
        if found.st_size <= self._max_bytes or not stat.S_ISREG(found.st_mode):
            return
        if others := self._of_others(path, renamed=renamed):
            self._max_bytes = 0
            self._say(f"the access log is left to whoever rotates it: {others}; `log_max_mb` does not apply to it")
            return
        free = next(
            number for number in range(1, self._keep + 1) if number == self._keep or not _at(path, number).exists()
        )
        for number in range(free, 1, -1):
            _at(path, number - 1).rename(_at(path, number))
        path.rename(_at(path, 1))
        self._inode = 0

    def _of_others(self, path: Path, *, renamed: bool) -> str:
        """What shows that somebody else rotates the file; empty if nothing does."""
        if renamed:
            return "it was replaced by another file"
        ours = {_at(path, number).name for number in range(1, self._keep + 1)}
        names = (
            entry.name for entry in path.parent.iterdir() if entry.name.startswith((f"{path.name}.", f"{path.name}-"))
        )
        return next((f"there is {name}" for name in sorted(names) if name not in ours), "")

    def _say(self, words: str) -> None:
        if words != self._said:
            log.warning("%s", words)
        self._said = words


def _at(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
