"""The logs of the slots: the output of setup and app, as it comes."""

import asyncio
import errno
import logging
import os
import re
from pathlib import Path

from slot_machine.core.model import SLOTS, Slot
from slot_machine.host.files.regular import open_regular
from slot_machine.host.rotation import SPARED_BYTES, LogFile

TAIL_LINES = 20
TAIL_BYTES = SPARED_BYTES
CHECK_INTERVAL_S = 1.0

log = logging.getLogger(__name__)


class SlotLogs:
    def __init__(self, data: Path, max_bytes: int, keep: int) -> None:
        """They are never rotated if `max_bytes` is 0."""
        self._rotated = max_bytes > 0
        self._files = {slot: LogFile(data / f"slot-{slot}.log", max_bytes, keep) for slot in SLOTS}

    def open(self, slot: Slot) -> "SlotLog":
        """Raises OSError."""
        return SlotLog(self._files[slot])

    async def keep_small(self) -> None:
        """Rotates, in a thread, what has grown too large. Runs until it is cancelled, or finds that it can't rotate."""
        told = ""
        while self._rotated:
            try:
                await asyncio.to_thread(self.rotate)
                told = ""
            except OSError as error:
                if told != (told := str(error)):
                    log.error("cannot rotate the logs of the slots: %s", error)
                if error.errno == errno.EOPNOTSUPP:
                    return
            await asyncio.sleep(CHECK_INTERVAL_S)

    def rotate(self) -> None:
        """Blocks. Raises OSError."""
        for file in self._files.values():
            file.rotate()


class SlotLog:
    """One start's part of a slot's log file. The app writes to `fd` itself; nothing stands between."""

    def __init__(self, file: LogFile) -> None:
        self.path = file.path
        self.fd = open_regular(file.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.failure: OSError | None = None
        """Of what could not be written latest."""
        self._file = file
        self._unended = False
        with file.lock:
            self._start = os.fstat(self.fd).st_size + file.shifted

    def write(self, data: bytes) -> None:
        """Raises nothing, as whoever printed it goes on: look at `failure` in the end."""
        self._unended = not data.endswith(b"\n")
        try:
            while data:
                data = data[os.write(self.fd, data) :]
        except OSError as error:
            self.failure = error

    def tail(self, without: re.Pattern[str] | None = None) -> tuple[str, ...]:
        """The last lines of this start, but for those in which `without` is found."""
        with self._file.lock, os.fdopen(open_regular(self.path), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._start - self._file.shifted, size - TAIL_BYTES, 0))
            lines = file.read().decode(errors="backslashreplace").splitlines()
        return tuple(line for line in lines if line.strip() and not (without and without.search(line)))[-TAIL_LINES:]

    def close(self) -> None:
        """What is written next begins a line of its own."""
        if self._unended:
            self.write(b"\n")
        os.close(self.fd)
