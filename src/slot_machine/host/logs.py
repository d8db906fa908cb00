"""The log file of each slot: the output of the setup and of the app."""

import asyncio
import errno
import logging
import os
import re
from pathlib import Path

from slot_machine.core.model import SLOTS, WEB, Slot, short
from slot_machine.host.files.regular import open_regular
from slot_machine.host.log_index.records import Event, Stage
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
        self._attempts: dict[Slot, int] = {}
        for slot in SLOTS:
            self.file(slot)

    def file(self, slot: Slot, run: str = WEB) -> LogFile:
        """The setup and the web run share `slot-a.log`. Any other run has its own log, such as `slot-a.worker.log`.

        From now on, it is rotated, and its index is kept.
        """
        path = self._data / (f"slot-{slot}.log" if run == WEB else f"slot-{slot}.{run}.log")
        return self._files.setdefault(path, LogFile(path, self._max_bytes, self._keep))

    def last_lines(self, slot: Slot, run: str = WEB) -> tuple[str, ...]:
        """Of all that was written to the log. Raises OSError."""
        return _tail(self.file(slot, run), 0)

    def open(self, slot: Slot, run: str = WEB, begin: int | None = None) -> "SlotLog":
        """`begin` is that of a run that writes there already. Raises OSError."""
        return SlotLog(self.file(slot, run), begin)

    def of_attempt(self, slot: Slot, attempt: int) -> None:
        """From now on, what happens in this slot is part of the attempt."""
        self._attempts[slot] = attempt

    def started(self, slot: Slot, run: str, commit: str, pid: int, begin: int) -> None:
        """`begin` is that of its `SlotLog`. Raises nothing, as all that marks."""
        self._mark(slot, run, "start", f"{run} of {short(commit)} started, pid {pid}", begin)

    def ended(self, slot: Slot, run: str, how: str) -> None:
        self._mark(slot, run, "exit", f"{run} ended: {how}")

    def switched(self, slot: Slot, commit: str) -> None:
        self._mark(slot, WEB, "switch", f"{short(commit)} is live")

    def _mark(self, slot: Slot, run: str, event: Event, text: str, begin: int | None = None) -> None:
        self.file(slot, run).mark(event, text, self._attempts.get(slot, 0), begin)

    async def keep(self) -> None:
        """Keeps the indexes, and rotates large logs in a thread. Runs until cancelled."""
        logged, able = "", self._max_bytes > 0
        try:
            while True:
                self.look()
                try:
                    if able:
                        await asyncio.to_thread(self.rotate)
                    logged = ""
                except OSError as error:
                    if logged != (logged := str(error)):
                        log.error("cannot rotate the logs of the slots: %s", error)
                    able = error.errno != errno.EOPNOTSUPP
                await asyncio.sleep(CHECK_INTERVAL_S)
        finally:
            self.look()
            for file in list(self._files.values()):
                file.close()

    def look(self) -> None:
        """Notes which logs have grown: some calls of the system for each. Raises nothing."""
        for file in list(self._files.values()):
            file.look()

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
        self._command: tuple[int, Stage] | None = None
        file.look()
        with file.lock:
            end = os.fstat(self.fd).st_size + file.shifted
            # A rotation that the last daemon made may have moved the beginning.
            self.begin = begin if begin is not None and begin <= end else 0 if begin else end

    def of_command(self, attempt: int, stage: Stage) -> None:
        """What is written from now on is the output of a command, and not the app's."""
        self._command = (attempt, stage)

    def write(self, data: bytes) -> None:
        """Raises nothing, so that whoever prints can continue. Sets `failure` instead."""
        self._unended = not data.endswith(b"\n")
        try:
            while data:
                data = data[self._written(data) :]
        except OSError as error:
            self.failure = error

    def _written(self, data: bytes) -> int:
        if not self._command:
            return os.write(self.fd, data)
        with self._file.lock:
            written = os.write(self.fd, data)
            # The offset of a file that is open with O_APPEND is behind what was written.
            end = os.lseek(self.fd, 0, os.SEEK_CUR)
            self._file.output(end - written, end, *self._command)
        return written

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
