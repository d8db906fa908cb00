"""The log file of each slot: the output of the setup and of the app."""

import asyncio
import errno
import logging
import os
import re
from pathlib import Path

from slot_machine.core.model import SLOTS, WEB, Slot
from slot_machine.host.files.regular import open_regular
from slot_machine.host.rotation import SPARED_BYTES, LogFile

TAIL_LINES = 20
TAIL_BYTES = SPARED_BYTES
CHECK_INTERVAL_S = 1.0

log = logging.getLogger(__name__)


class SlotLogs:
    def __init__(self, data: Path, max_bytes: int, keep: int) -> None:
        """With `max_bytes` 0, logs are never rotated."""
        self._data = data
        self._max_bytes = max_bytes
        self._keep = keep
        self._files: dict[Path, LogFile] = {}
        for slot in SLOTS:
            self.file(slot)

    def file(self, slot: Slot, run: str = WEB) -> LogFile:
        """The setup and the web run share `slot-a.log`. Any other run has its own log, such as `slot-a.worker.log`.

        It is rotated from now on.
        """
        path = self._data / (f"slot-{slot}.log" if run == WEB else f"slot-{slot}.{run}.log")
        return self._files.setdefault(path, LogFile(path, self._max_bytes, self._keep))

    def last_lines(self, slot: Slot, run: str = WEB) -> tuple[str, ...]:
        """Of all that was written to the log. Raises OSError."""
        return _tail(self.file(slot, run), 0)

    def open(self, slot: Slot, run: str = WEB, begin: int | None = None) -> "SlotLog":
        """`begin` is that of a run that writes there already. Raises OSError."""
        return SlotLog(self.file(slot, run), begin)

    async def keep_small(self) -> None:
        """Rotates large logs, in a thread. Runs until cancelled, or until the file system turns out unable."""
        logged = ""
        while self._max_bytes:
            try:
                await asyncio.to_thread(self.rotate)
                logged = ""
            except OSError as error:
                if logged != (logged := str(error)):
                    log.error("cannot rotate the logs of the slots: %s", error)
                if error.errno == errno.EOPNOTSUPP:
                    return
            await asyncio.sleep(CHECK_INTERVAL_S)

    def rotate(self) -> None:
        """Blocks. Raises OSError."""
        for file in list(self._files.values()):
            file.rotate()


class SlotLog:
    """The part of a slot's log file that belongs to one run. The app itself writes to `fd`.

    `begin` is its first byte, as if nothing had been cut off from the file since this daemon began.
    """

    def __init__(self, file: LogFile, begin: int | None = None) -> None:
        self.path = file.path
        self.fd = open_regular(file.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.failure: OSError | None = None
        """The error of the last write that failed."""
        self._file = file
        self._unended = False
        with file.lock:
            end = os.fstat(self.fd).st_size + file.shifted
            # A rotation that the last daemon made may have moved the beginning.
            self.begin = begin if begin is not None and begin <= end else 0 if begin else end

    def write(self, data: bytes) -> None:
        """Raises nothing, so that whoever prints can continue. Sets `failure` instead."""
        self._unended = not data.endswith(b"\n")
        try:
            while data:
                data = data[os.write(self.fd, data) :]
        except OSError as error:
            self.failure = error

    def tail(self, without: re.Pattern[str] | None = None) -> tuple[str, ...]:
        """The last lines of this run, without those that match `without`."""
        return _tail(self._file, self.begin, without)

    def close(self) -> None:
        """Completes the last line, so that the next run begins with a new one."""
        if self._unended:
            self.write(b"\n")
        os.close(self.fd)


def _tail(log_file: LogFile, start: int, without: re.Pattern[str] | None = None) -> tuple[str, ...]:
    """`start` counts the bytes that were cut off, too."""
    with log_file.lock, os.fdopen(open_regular(log_file.path), "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start - log_file.shifted, size - TAIL_BYTES, 0))
        lines = file.read().decode(errors="backslashreplace").splitlines()
    return tuple(line for line in lines if line.strip() and not (without and without.search(line)))[-TAIL_LINES:]
