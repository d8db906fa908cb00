"""Disk space that is kept for the day on which there is none: a rollback and a restart must still be possible."""

import asyncio
import logging
import os
import sqlite3
from pathlib import Path

from slot_machine.host.files.capacity import free

RESERVE_BYTES = 8_000_000
FREE_FOR_ONE_BYTES = 4 * RESERVE_BYTES
"""Below that, none is made: it would only make the disk full earlier."""

FULL_BYTES = 1_000_000
"""With less than that, an app may fail to write its first lines of output."""

LOG_BYTES = 4_200_000
"""What SQLite's write-ahead log grows to anyway (1000 pages, PRAGMA wal_autocheckpoint): some 20 rollbacks."""

LEAST_LOG_BYTES = 1_000_000

CHECK_INTERVAL_S = 5.0

REFUSALS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
"""What SQLite says on a full disk, depending on the file that does not grow."""

log = logging.getLogger(__name__)


class Reserve:
    """A file that is deleted when the disk is full."""

    def __init__(self, data: Path) -> None:
        self.path = data / "reserve"

    def make(self, size: int = RESERVE_BYTES, at_least_free: int = FREE_FOR_ONE_BYTES) -> None:
        """If there is room. Raises nothing."""
        try:
            if not self.path.exists() and free(self.path.parent).bytes >= at_least_free:
                allocate(self.path, size)
        except OSError as error:
            log.warning("cannot keep a reserve of disk space: %s", error)
            self.give_up()

    def give_up(self) -> bool:
        """Whether there was one. Raises nothing."""
        try:
            self.path.unlink()
        except OSError:
            return False
        log.warning("the disk is full: gave up the reserve, %s", self.path)
        return True

    def give_up_if_full(self) -> None:
        """Raises OSError."""
        if free(self.path.parent).bytes < FULL_BYTES:
            self.give_up()

    def saves(self, error: sqlite3.Error) -> bool:
        """Whether to try once more what failed with that."""
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in REFUSALS and self.give_up()

    async def keep(self) -> None:
        """Makes it again once there is room. Runs until cancelled."""
        while True:
            self.make()
            await asyncio.sleep(CHECK_INTERVAL_S)


def allocate(path: Path, size: int) -> None:
    """Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    before = os.fstat(fd).st_size
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError:
        os.ftruncate(fd, before)  # Else it keeps what there was.
        raise
    finally:
        os.close(fd)
