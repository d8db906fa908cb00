"""The database: what is live, what each slot holds, every attempt, and which processes were started."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, Self

import msgspec

from slot_machine.core.errors import StartRefused
from slot_machine.core.model import SLOTS, Attempt, Contents, Running, Slot, State, Version
from slot_machine.host.proc import Identity

SCHEMA_VERSION = 3
BUSY_TIMEOUT_S = 1.0

SCHEMA = """
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    live_slot TEXT NOT NULL DEFAULT '',
    live_commit TEXT NOT NULL DEFAULT '',
    previous_slot TEXT NOT NULL DEFAULT '',
    previous_commit TEXT NOT NULL DEFAULT '',
    last_deploy_time TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO state (id) VALUES (1);
CREATE TABLE slots (name TEXT PRIMARY KEY, commit_hash TEXT NOT NULL, fingerprint TEXT NOT NULL) STRICT;
CREATE TABLE processes (
    pid INTEGER PRIMARY KEY,
    start_ticks INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    mark TEXT NOT NULL DEFAULT '',
    cgroup TEXT NOT NULL DEFAULT '',
    role TEXT NOT NULL DEFAULT 'other',
    running TEXT NOT NULL DEFAULT 'null'
) STRICT;
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    origin TEXT NOT NULL,
    commit_hash TEXT NOT NULL DEFAULT '',
    slot TEXT NOT NULL DEFAULT '',
    started_at TEXT NOT NULL,
    stage TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT 'running',
    error TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL DEFAULT 0,
    stage_seconds TEXT NOT NULL DEFAULT '{}',
    requests TEXT NOT NULL DEFAULT '""'
) STRICT;
"""

MIGRATIONS = {
    1: """ALTER TABLE attempts ADD COLUMN requests TEXT NOT NULL DEFAULT '""'""",
    2: """ALTER TABLE processes ADD COLUMN mark TEXT NOT NULL DEFAULT '';
ALTER TABLE processes ADD COLUMN cgroup TEXT NOT NULL DEFAULT '';
ALTER TABLE processes ADD COLUMN role TEXT NOT NULL DEFAULT 'other';
ALTER TABLE processes ADD COLUMN running TEXT NOT NULL DEFAULT 'null'""",
}
"""What makes a schema the next one."""


Role = Literal["app", "setup", "proxy", "other"]


class Recorded(NamedTuple):
    """A process that a daemon started. `running` says what an app is."""

    identity: Identity
    role: Role
    running: Running | None


class Store:
    """Each method is one transaction, on disk when it returns. Raises sqlite3.Error when the disk refuses."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises StartRefused for a damaged database or one of a newer slot-machine."""
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            _prepare(db, path)
        except sqlite3.Error as error:
            db.close()
            hint = f"restore {path} from a backup, or move it aside: the next deploy then starts a new history"
            raise StartRefused(f"the database {path} is damaged: {error}", hint) from error
        except StartRefused:
            db.close()
            raise
        return cls(db)

    def close(self) -> None:
        self._db.close()

    def state(self) -> State:
        live_slot, live, previous_slot, previous, time = self._db.execute(
            "SELECT live_slot, live_commit, previous_slot, previous_commit, last_deploy_time FROM state"
        ).fetchone()
        return State(_version(live_slot, live), _version(previous_slot, previous), time)

    def save_state(self, state: State) -> None:
        values = (*_columns(state.live), *_columns(state.previous), state.last_deploy_time)
        self._db.execute(
            "UPDATE state SET live_slot = ?, live_commit = ?, previous_slot = ?, previous_commit = ?,"
            " last_deploy_time = ?",
            values,
        )

    def contents(self, slot: Slot) -> Contents | None:
        """None while the slot is empty or half prepared."""
        row = self._db.execute("SELECT commit_hash, fingerprint FROM slots WHERE name = ?", (slot,)).fetchone()
        return Contents(*row) if row else None

    def save_contents(self, slot: Slot, contents: Contents | None) -> None:
        if contents is None:
            self._db.execute("DELETE FROM slots WHERE name = ?", (slot,))
        else:
            self._db.execute("REPLACE INTO slots VALUES (?, ?, ?)", (slot, contents.commit, contents.fingerprint))

    def begin(self, attempt: Attempt) -> Attempt:
        """Returns the attempt with the id it got."""
        cursor = self._db.execute(
            "INSERT INTO attempts (kind, origin, started_at) VALUES (?, ?, ?)",
            (attempt.kind, attempt.trigger, attempt.started_at),
        )
        assert cursor.lastrowid is not None
        return msgspec.structs.replace(attempt, id=cursor.lastrowid)

    def save_attempt(self, attempt: Attempt) -> None:
        self._db.execute(
            "UPDATE attempts SET commit_hash = ?, slot = ?, stage = ?, result = ?, error = ?, seconds = ?,"
            " stage_seconds = ?, requests = ? WHERE id = ?",
            (
                attempt.commit,
                attempt.slot,
                attempt.stage,
                attempt.result,
                attempt.error,
                attempt.seconds,
                msgspec.json.encode(attempt.stage_seconds).decode(),
                msgspec.json.encode(attempt.requests).decode(),
                attempt.id,
            ),
        )

    def interrupt_unfinished(self) -> None:
        """Attempts that an earlier daemon did not get to end."""
        self._db.execute(
            "UPDATE attempts SET result = 'interrupted', error = ? WHERE result = 'running'", ("the daemon ended",)
        )

    def attempts(self, limit: int) -> list[Attempt]:
        """The latest first."""
        rows = self._db.execute(
            "SELECT id, kind, origin, commit_hash, slot, started_at, stage, result, error, seconds, stage_seconds,"
            " requests FROM attempts ORDER BY id DESC LIMIT ?",
            (limit,),
        )
        return [_attempt(*row) for row in rows]

    def processes(self) -> list[Recorded]:
        """The latest first."""
        rows = self._db.execute(
            "SELECT pid, start_ticks, boot_id, mark, cgroup, role, running FROM processes ORDER BY start_ticks DESC"
        )
        return [
            Recorded(Identity(*identity), role, msgspec.json.decode(running, type=Running | None))
            for *identity, role, running in rows
        ]

    def save_process(self, identity: Identity, role: Role, running: Running | None = None) -> None:
        values = (*msgspec.structs.astuple(identity), role, msgspec.json.encode(running).decode())
        self._db.execute("REPLACE INTO processes VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def remove_process(self, identity: Identity) -> None:
        self._db.execute("DELETE FROM processes WHERE pid = ?", (identity.pid,))


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    check = db.execute("PRAGMA quick_check").fetchone()[0]
    if check != "ok":
        raise sqlite3.DatabaseError(check)
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StartRefused(
            f"the database {path} is of a newer slot-machine (schema {version}, this one knows {SCHEMA_VERSION})",
            "install the newer slot-machine again",
        )
    if version == 0:
        with _transaction(db):
            for statement in SCHEMA.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    elif version < SCHEMA_VERSION:
        db.execute("VACUUM INTO ?", (str(path.with_name(f"{path.name}.schema-{version}")),))
        with _transaction(db):
            for older in range(version, SCHEMA_VERSION):
                for statement in MIGRATIONS[older].split(";\n"):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _version(slot: str, commit: str) -> Version | None:
    found = [name for name in SLOTS if name == slot]
    return Version(found[0], commit) if found else None


def _columns(version: Version | None) -> tuple[str, str]:
    return (version.slot, version.commit) if version else ("", "")


def _attempt(*row: object) -> Attempt:
    names = (
        "id",
        "kind",
        "trigger",
        "commit",
        "slot",
        "started_at",
        "stage",
        "result",
        "error",
        "seconds",
        "stage_seconds",
        "requests",
    )
    values = dict(zip(names, row, strict=True))
    for name in ("stage_seconds", "requests"):
        values[name] = msgspec.json.decode(str(values[name]))
    return msgspec.convert(values, Attempt)
