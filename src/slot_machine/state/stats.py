"""What the workers counted of the requests, minute by minute, for a month: a SQLite file of its own.

The file is opened for each call, so that it costs an idle daemon nothing. Nothing depends on it: a damaged one is put
aside, and a new one begun.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from slot_machine.core.minutes import OTHER, Minute, Tally

NAME = "stats.db"
VERSION = 1
BUSY_TIMEOUT_S = 1.0

QUARTER = 15
DAY = 24 * 60
KEPT = 30 * DAY
QUARTERS_KEPT = 2 * DAY
"""Paths have a row for each quarter of an hour, and after this time for each day. All times are in minutes."""
MOST_PATHS = 100
"""In a quarter of an hour, or in a day."""

SCHEMA = f"""
CREATE TABLE minutes (
    minute INTEGER NOT NULL, slot TEXT NOT NULL, tally BLOB NOT NULL, PRIMARY KEY (minute, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE paths (
    begin INTEGER NOT NULL, path TEXT NOT NULL, tally BLOB NOT NULL, PRIMARY KEY (begin, path)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Result = TypeVar("Result")

encode = msgspec.msgpack.encode
decode = msgspec.msgpack.Decoder(Tally).decode


class Found(NamedTuple):
    """`quarters`: by its first minute and the slot. `paths`: since the beginning of a quarter, or of a day."""

    quarters: dict[tuple[int, str], Tally]
    paths: dict[str, Tally]


class Stats:
    """Every call blocks, and raises sqlite3.Error or OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pruned_hour = 0

    def add(self, minutes: Sequence[Minute]) -> None:
        """What is there of a minute already stays, and counts as well."""
        self._in_transaction(lambda db: self._add(db, minutes))

    def since(self, minute: int) -> Found:
        return self._in_transaction(lambda db: Found(_quarters(db, minute), _paths(db, minute)))

    def paths_since(self, minute: int) -> dict[str, Tally]:
        """`Found.paths` alone."""
        return self._in_transaction(lambda db: _paths(db, minute))

    def paths_of(self, slot: str, minute: int) -> dict[str, Tally]:
        """As `paths_since`, without the quarters in which another slot had requests: a path does not tell whose.

        Those that reached no slot count for each. `minute` is in the last two days.
        """
        return self._in_transaction(lambda db: _paths_of(db, slot, minute))

    def _add(self, db: sqlite3.Connection, minutes: Sequence[Minute]) -> None:
        for counted in minutes:
            total = Tally({})
            for path, tally in counted.paths.items():
                total.add(tally)
                _add_path(db, counted.minute // QUARTER * QUARTER, path, tally)
            _add_to(db, "minutes", "minute", "slot", (counted.minute, counted.slot), total)
        newest = max((counted.minute for counted in minutes), default=0)
        if newest // 60 > self._pruned_hour:
            _prune(db, newest)
            self._pruned_hour = newest // 60

    def _in_transaction(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            with self._opened() as db:
                return work(db)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) not in DAMAGED:
                raise
            self._path.rename(self._path.with_name(f"{NAME}.damaged"))
            self._path.with_name(f"{NAME}-journal").unlink(missing_ok=True)
        with self._opened() as db:
            return work(db)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        # SQLite would make the file readable for all.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        db = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = NORMAL")
            version: int = db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise sqlite3.OperationalError(f"{self._path} is of a newer slot-machine")
            db.execute("BEGIN IMMEDIATE")
            if not version:
                for statement in SCHEMA.split(";\n"):
                    db.execute(statement)
            yield db
            db.execute("COMMIT")
        finally:
            db.close()


def _add_path(db: sqlite3.Connection, begin: int, path: str, tally: Tally) -> None:
    known = db.execute("SELECT 1 FROM paths WHERE begin = ? AND path = ?", (begin, path)).fetchone()
    if not known and db.execute("SELECT count(*) FROM paths WHERE begin = ?", (begin,)).fetchone()[0] >= MOST_PATHS:
        path = OTHER
    _add_to(db, "paths", "begin", "path", (begin, path), tally)


def _add_to(db: sqlite3.Connection, table: str, time: str, name: str, key: tuple[int, str], tally: Tally) -> None:
    row = db.execute(f"SELECT tally FROM {table} WHERE {time} = ? AND {name} = ?", key).fetchone()
    summed = decode(row[0]) if row else Tally({})
    summed.add(tally)
    db.execute(f"REPLACE INTO {table} VALUES (?, ?, ?)", (*key, encode(summed)))


def _quarters(db: sqlite3.Connection, since: int) -> dict[tuple[int, str], Tally]:
    found: dict[tuple[int, str], Tally] = {}
    for minute, slot, tally in db.execute("SELECT * FROM minutes WHERE minute >= ? ORDER BY minute", (since,)):
        found.setdefault((minute // QUARTER * QUARTER, slot), Tally({})).add(decode(tally))
    return found


def _paths(db: sqlite3.Connection, since: int) -> dict[str, Tally]:
    (newest,) = db.execute("SELECT max(begin) FROM paths").fetchone()
    span = QUARTER if newest is None or since > newest - QUARTERS_KEPT else DAY
    rows = db.execute("SELECT path, tally FROM paths WHERE begin >= ?", (since // span * span,))
    return _summed((path, decode(tally)) for path, tally in rows)


def _paths_of(db: sqlite3.Connection, slot: str, since: int) -> dict[str, Tally]:
    others = f"SELECT minute / {QUARTER} * {QUARTER} FROM minutes WHERE minute >= ? AND slot NOT IN (?, '')"
    begin = since // QUARTER * QUARTER
    rows = db.execute(
        f"SELECT path, tally FROM paths WHERE begin >= ? AND begin NOT IN ({others})", (begin, begin, slot)
    )
    return _summed((path, decode(tally)) for path, tally in rows)


def _summed(rows: Iterator[tuple[str, Tally]]) -> dict[str, Tally]:
    found: dict[str, Tally] = {}
    for path, tally in rows:
        found.setdefault(path, Tally({})).add(tally)
    return found


def _prune(db: sqlite3.Connection, newest: int) -> None:
    """Deletes what is too old, and sums up the paths of days that are over."""
    for table, time in (("minutes", "minute"), ("paths", "begin")):
        db.execute(f"DELETE FROM {table} WHERE {time} < ?", (newest - KEPT,))
    whole_days = (newest - QUARTERS_KEPT) // DAY * DAY
    days = db.execute("SELECT DISTINCT begin / ? FROM paths WHERE begin < ? AND begin % ?", (DAY, whole_days, DAY))
    for (day,) in days.fetchall():
        _sum_up(db, day * DAY)


def _sum_up(db: sqlite3.Connection, begin: int) -> None:
    of_day = (begin, begin + DAY)
    rows = db.execute("SELECT path, tally FROM paths WHERE begin >= ? AND begin < ?", of_day)
    summed = _summed((path, decode(tally)) for path, tally in rows)
    db.execute("DELETE FROM paths WHERE begin >= ? AND begin < ?", of_day)
    for path, tally in sorted(summed.items(), key=lambda row: -row[1].requests):
        _add_path(db, begin, path, tally)
