"""Disk space in reserve, so that a rollback and a restart are possible on a full disk."""

import asyncio
import logging
import os
import sqlite3
from pathlib import Path

from slot_machine.host.files.capacity import free

RESERVE_BYTES = 8_000_000
FREE_FOR_ONE_BYTES = 4 * RESERVE_BYTES
"""With less free space, no reserve is made: it would only fill the disk earlier."""

FULL_BYTES = 1_000_000
"""With less free space, an app may fail to write its first lines of output."""

LOG_BYTES = 4_200_000
"""SQLite's write-ahead log grows to this size anyway (1000 pages, PRAGMA wal_autocheckpoint). 20 rollbacks fit in."""

LEAST_LOG_BYTES = 1_000_000

CHECK_INTERVAL_S = 5.0

REFUSALS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
"""SQLite's errors on a full disk. They depend on the file that can't grow."""

log = logging.getLogger(__name__)


class Reserve:
    """A file that is deleted to free its space when the disk is full."""

    def __init__(self, data: Path) -> None:
        self.path = data / "reserve"

    def make(self, size: int = RESERVE_BYTES, at_least_free: int = FREE_FOR_ONE_BYTES) -> None:
        """Makes the file if there is room. Raises nothing."""
        try:
            if not self.path.exists() and free(self.path.parent).bytes >= at_least_free:
                allocate(self.path, size)
        except OSError as error:
            log.warning("cannot keep a reserve of disk space: %s", error)
            self.give_up()

    def give_up(self) -> bool:
        """Deletes the file. Returns whether there was one. Raises nothing."""
        try:
            self.path.unlink()
        except OSError:
            return False
        log.warning("the disk is full: gave up the reserve, %s", self.path)
        return True

    def give_up_if_full(self) -> None:
        """Deletes the file if less than FULL_BYTES are free. Raises OSError."""
        if free(self.path.parent).bytes < FULL_BYTES:
            self.give_up()

    def saves(self, error: sqlite3.Error) -> bool:
        """Whether the error came from a full disk and the reserve was freed: the caller can try once more."""
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in REFUSALS and self.give_up()

    async def keep(self) -> None:
        """Makes the file again when there is room. Runs until cancelled."""
        while True:
            self.make()
            await asyncio.sleep(CHECK_INTERVAL_S)


def allocate(path: Path, size: int) -> None:
    """Makes or extends a file to `size` bytes that are really allocated. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    before = os.fstat(fd).st_size
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError:
        os.ftruncate(fd, before)  # Else the part that was allocated would stay.
        raise
    finally:
        os.close(fd)
