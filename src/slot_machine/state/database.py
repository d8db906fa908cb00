"""The database's file: opened, migrated, sealed after each change, and able to grow when the disk is full."""

import functools
import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

import msgspec

from slot_machine.host.files import reserve
from slot_machine.host.files.reserve import Reserve
from slot_machine.state import seal
from slot_machine.state.schema import SEALED, prepare, schema_of, transaction

BUSY_TIMEOUT_S = 1.0

log = logging.getLogger(__name__)

AnyDatabase = TypeVar("AnyDatabase", bound="Database")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def twice_on_a_full_disk(
    write: Callable[Concatenate[AnyDatabase, Arguments], Result],
) -> Callable[Concatenate[AnyDatabase, Arguments], Result]:
    """If the disk is full, gives up the reserve and calls `write` a second time."""

    @functools.wraps(write)
    def written(database: AnyDatabase, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return write(database, *args, **kwargs)
        except sqlite3.Error as error:
            if not database.reserve.saves(error):
                raise
            return write(database, *args, **kwargs)

    return written


class Database:
    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self._path = path
        self._seal = seal.path_of(path)
        self.reserve = Reserve(path.parent)
        self._has_room = False
        self._shared_memory_fd = -1

    @classmethod
    def open(cls, path: Path) -> Self:
        """Makes a database where there is none, and migrates an older one. An existing one must be sound.

        `soundness.open_sound` checks that. Raises sqlite3.Error.
        """
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        database = cls(db, path)
        try:
            prepare(db, path)
            database._set_seal()
        except BaseException:
            db.close()
            raise
        return database

    def close(self) -> None:
        """SQLite deletes its write-ahead log here. The reserve takes its space: the next daemon needs it to open."""
        self._db.close()
        if self._shared_memory_fd >= 0:
            os.close(self._shared_memory_fd)
        if self._has_room:
            self.reserve.make(reserve.LOG_BYTES, 0)

    def take_room(self) -> None:
        """Allocates what the rows of rollbacks and restarts need, so that a full disk stops neither. Raises nothing."""
        self._fill_shared_memory()
        for size in (reserve.LOG_BYTES, reserve.LEAST_LOG_BYTES):
            try:
                reserve.allocate(self._path.with_name(f"{self._path.name}-wal"), size)
                break
            except OSError as error:
                log.warning("cannot take %d bytes for the database: %s", size, error)
        self.reserve.make()
        self._has_room = True

    def _fill_shared_memory(self) -> None:
        """Fills holes that SQLite leaves if blocks are smaller than a page. On a full disk, a write there is a SIGBUS.

        So it comes before all else that takes room, and the reserve is given up for it. The file stays open, because
        closing any descriptor of it releases SQLite's locks on it (fcntl(2)).
        """
        path = self._path.with_name(f"{self._path.name}-shm")
        try:
            if self._shared_memory_fd < 0:
                self._shared_memory_fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            os.posix_fallocate(self._shared_memory_fd, 0, os.fstat(self._shared_memory_fd).st_size)
        except OSError as error:
            if self.reserve.give_up():
                self._fill_shared_memory()
            else:
                log.warning("cannot take the room of %s: %s", path, error)

    def seal(self) -> seal.Seal:
        """How often state and contents were changed, and a digest of what they are. The schema may be an older one."""
        of_state, of_contents = SEALED[schema_of(self._db)]
        serial, *state = self._db.execute(of_state).fetchone()
        contents = self._db.execute(of_contents).fetchall()
        return seal.Seal(serial, hashlib.sha256(msgspec.json.encode((state, contents))).hexdigest())

    @contextmanager
    def _soon_on_disk(self) -> Iterator[None]:
        """What is written meanwhile waits for no disk. A kill of the daemon loses nothing of it, a power cut may."""
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _sealed(self) -> Iterator[None]:
        """A transaction that changes state or contents."""
        with transaction(self._db):
            yield
            self._db.execute("UPDATE state SET serial = serial + 1")
        self._set_seal()

    def _set_seal(self) -> None:
        """Only logs a failure: the change is saved already, and an older seal notices less but refuses nothing."""
        try:
            seal.write(self._seal, self.seal())
        except OSError as error:
            if self.reserve.give_up():
                self._set_seal()
            else:
                log.error("cannot write %s: %s", self._seal, error)
