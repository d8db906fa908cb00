"""The database: what is live, what each slot holds, every attempt, and which processes were started."""

import functools
import hashlib
import logging
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, Literal, NamedTuple, ParamSpec, Self, TypeVar

import msgspec

from slot_machine.core.model import SLOTS, Attempt, Contents, Made, Running, State, Version
from slot_machine.host.files import reserve
from slot_machine.host.files.capacity import Size
from slot_machine.host.files.reserve import Reserve
from slot_machine.host.git.trees import TREE_OF_SLOT
from slot_machine.host.process.proc import Identity
from slot_machine.state import seal

SCHEMA_VERSION = 4
BUSY_TIMEOUT_S = 1.0

KEPT_ATTEMPTS = 1000
KEPT_FOR = "-1 year"
KEPT_AT_ANY_AGE = 100
"""So that a clock which was once wrong by years does not cost the history."""

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    live_slot TEXT NOT NULL DEFAULT '',
    live_commit TEXT NOT NULL DEFAULT '',
    previous_slot TEXT NOT NULL DEFAULT '',
    previous_commit TEXT NOT NULL DEFAULT '',
    last_deploy_time TEXT NOT NULL DEFAULT '',
    serial INTEGER NOT NULL DEFAULT 0,
    live_tree INTEGER NOT NULL DEFAULT 0,
    previous_tree INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO state (id) VALUES (1);
CREATE TABLE trees (number INTEGER PRIMARY KEY, commit_hash TEXT NOT NULL, fingerprint TEXT NOT NULL) STRICT;
CREATE TABLE made (tree INTEGER PRIMARY KEY, files BLOB, begun_ns INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE sizes (tree INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, inodes INTEGER NOT NULL) STRICT;
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

STATE_COLUMNS = "live_slot, live_commit, live_tree, previous_slot, previous_commit, previous_tree, last_deploy_time"

SEALED = {
    3: (
        "SELECT serial, live_slot, live_commit, previous_slot, previous_commit, last_deploy_time FROM state",
        "SELECT name, commit_hash, fingerprint FROM slots ORDER BY name",
    ),
    4: (
        f"SELECT serial, {STATE_COLUMNS} FROM state",
        "SELECT number, commit_hash, fingerprint FROM trees ORDER BY number",
    ),
}
"""What the seal is over, by schema."""


def _tree_of(slot: str) -> str:
    """In SQL: where the folder of a slot went when slots became links to trees."""
    cases = " ".join(f"WHEN '{name}' THEN {tree}" for name, tree in TREE_OF_SLOT.items())
    return f"CASE {slot} {cases} ELSE 0 END"


MIGRATIONS = {
    1: """ALTER TABLE attempts ADD COLUMN requests TEXT NOT NULL DEFAULT '""'""",
    2: """ALTER TABLE processes ADD COLUMN mark TEXT NOT NULL DEFAULT '';
ALTER TABLE processes ADD COLUMN cgroup TEXT NOT NULL DEFAULT '';
ALTER TABLE processes ADD COLUMN role TEXT NOT NULL DEFAULT 'other';
ALTER TABLE processes ADD COLUMN running TEXT NOT NULL DEFAULT 'null';
ALTER TABLE state ADD COLUMN serial INTEGER NOT NULL DEFAULT 0;
CREATE TABLE sizes (slot TEXT PRIMARY KEY, bytes INTEGER NOT NULL, inodes INTEGER NOT NULL) STRICT""",
    3: f"""ALTER TABLE state ADD COLUMN live_tree INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN previous_tree INTEGER NOT NULL DEFAULT 0;
UPDATE state SET live_tree = {_tree_of("live_slot")}, previous_tree = {_tree_of("previous_slot")},
    serial = serial + 1;
CREATE TABLE trees (number INTEGER PRIMARY KEY, commit_hash TEXT NOT NULL, fingerprint TEXT NOT NULL) STRICT;
INSERT INTO trees SELECT {_tree_of("name")}, commit_hash, fingerprint FROM slots;
DROP TABLE slots;
CREATE TABLE made (tree INTEGER PRIMARY KEY, files BLOB, begun_ns INTEGER NOT NULL DEFAULT 0) STRICT;
ALTER TABLE sizes RENAME TO sizes_of_slots;
CREATE TABLE sizes (tree INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, inodes INTEGER NOT NULL) STRICT;
INSERT INTO sizes SELECT {_tree_of("slot")}, bytes, inodes FROM sizes_of_slots;
DROP TABLE sizes_of_slots;
UPDATE processes SET
    running = json_set(running, '$.version.tree', {_tree_of("json_extract(running, '$.version.slot')")})
    WHERE running <> 'null'""",
}
"""What makes a schema the next one."""


Role = Literal["app", "setup", "other"]


class Recorded(NamedTuple):
    """A process that a daemon started. `running` says what an app is."""

    identity: Identity
    role: Role
    running: Running | None


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _twice_on_a_full_disk(
    write: Callable[Concatenate["Store", Arguments], Result],
) -> Callable[Concatenate["Store", Arguments], Result]:
    """The second time with the reserve given up."""

    @functools.wraps(write)
    def written(store: "Store", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return write(store, *args, **kwargs)
        except sqlite3.Error as error:
            if not store.reserve.saves(error):
                raise
            return write(store, *args, **kwargs)

    return written


class Store:
    """Each method is one transaction, on disk when it returns. Raises sqlite3.Error when the disk refuses."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self._path = path
        self._seal = seal.path_of(path)
        self.reserve = Reserve(path.parent)
        self._has_room = False
        self._shared_memory_fd = -1

    @classmethod
    def open(cls, path: Path) -> Self:
        """Makes a new database where there is none. An old one must be sound: see `soundness`. Raises sqlite3.Error."""
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        store = cls(db, path)
        try:
            _prepare(db, path)
            store._set_seal()
        except BaseException:
            db.close()
            raise
        return store

    def close(self) -> None:
        """With the room of the log, which SQLite deletes, for the next one to open it."""
        self._db.close()
        if self._shared_memory_fd >= 0:
            os.close(self._shared_memory_fd)
        if self._has_room:
            self.reserve.make(reserve.LOG_BYTES, 0)

    def take_room(self) -> None:
        """What is written down of rollbacks and restarts then needs no more, be the disk full. Raises nothing."""
        for size in (reserve.LOG_BYTES, reserve.LEAST_LOG_BYTES):
            try:
                reserve.allocate(self._path.with_name(f"{self._path.name}-wal"), size)
                break
            except OSError as error:
                log.warning("cannot take %d bytes for the database: %s", size, error)
        self._fill_shared_memory()
        self.reserve.make()
        self._has_room = True

    def _fill_shared_memory(self) -> None:
        """Else it has holes, on blocks smaller than a page: on a full disk, the kernel kills who writes there (SIGBUS).

        It stays open, as its end would be that of SQLite's locks on it (fcntl(2)).
        """
        path = self._path.with_name(f"{self._path.name}-shm")
        try:
            self._shared_memory_fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            os.posix_fallocate(self._shared_memory_fd, 0, os.fstat(self._shared_memory_fd).st_size)
        except OSError as error:
            log.warning("cannot take the room of %s: %s", path, error)

    def state(self) -> State:
        *columns, time = self._db.execute(f"SELECT {STATE_COLUMNS} FROM state").fetchone()
        return State(_version(*columns[:3]), _version(*columns[3:]), time)

    @_twice_on_a_full_disk
    def save_state(self, state: State) -> None:
        with self._sealed():
            self._db.execute(
                f"UPDATE state SET ({STATE_COLUMNS}) = (?, ?, ?, ?, ?, ?, ?)",
                (*_columns(state.live), *_columns(state.previous), state.last_deploy_time),
            )
            prepared = "SELECT tree FROM made, state WHERE begun_ns AND tree IN (live_tree, previous_tree)"
            # What was measured is what a failed deploy left, or a version before.
            self._db.execute(f"DELETE FROM sizes WHERE tree IN ({prepared})")
            self._db.execute(f"UPDATE made SET begun_ns = 0 WHERE tree IN ({prepared})")

    def contents(self, tree: int) -> Contents | None:
        """None while the tree is empty or half prepared."""
        row = self._db.execute("SELECT commit_hash, fingerprint FROM trees WHERE number = ?", (tree,)).fetchone()
        return Contents(*row) if row else None

    @_twice_on_a_full_disk
    def save_contents(self, tree: int, contents: Contents | None) -> None:
        with self._sealed():
            if contents is None:
                self._db.execute("DELETE FROM trees WHERE number = ?", (tree,))
            else:
                self._db.execute("REPLACE INTO trees VALUES (?, ?, ?)", (tree, contents.commit, contents.fingerprint))

    @_twice_on_a_full_disk
    def begin_tree(self, tree: int, begun_ns: int) -> None:
        """From here on the tree holds nothing. `begun_ns` tells what is written into it until a version there is live:

        it stays that of the first deploy since the tree was in use.
        """
        with self._sealed():
            self._db.execute("DELETE FROM trees WHERE number = ?", (tree,))
            self._db.execute(
                "INSERT INTO made (tree, begun_ns) VALUES (?, ?)"
                " ON CONFLICT (tree) DO UPDATE SET begun_ns = ifnull(nullif(begun_ns, 0), excluded.begun_ns)",
                (tree, begun_ns),
            )

    def begun_ns(self, tree: int) -> int:
        """0 for a tree into which no deploy has written since it was in use."""
        row = self._db.execute("SELECT begun_ns FROM made WHERE tree = ?", (tree,)).fetchone()
        return int(row[0]) if row else 0

    def made(self, tree: int) -> Made | None:
        """What the latest setup left in the tree; None where that is not known."""
        row = self._db.execute("SELECT files FROM made WHERE tree = ?", (tree,)).fetchone()
        return msgspec.msgpack.decode(zlib.decompress(row[0]), type=Made) if row and row[0] else None

    @_twice_on_a_full_disk
    def save_made(self, tree: int, made: Made) -> None:
        self._db.execute(
            "INSERT INTO made (tree, files) VALUES (?, ?) ON CONFLICT (tree) DO UPDATE SET files = excluded.files",
            (tree, zlib.compress(msgspec.msgpack.encode(made))),
        )

    def size(self, tree: int) -> Size | None:
        """What the tree took up when it was prepared last."""
        row = self._db.execute("SELECT bytes, inodes FROM sizes WHERE tree = ?", (tree,)).fetchone()
        return Size(*row) if row else None

    @_twice_on_a_full_disk
    def save_size(self, tree: int, size: Size | None) -> None:
        if size is None:
            self._db.execute("DELETE FROM sizes WHERE tree = ?", (tree,))
        else:
            self._db.execute("REPLACE INTO sizes VALUES (?, ?, ?)", (tree, size.bytes, size.inodes))

    def seal(self) -> seal.Seal:
        """How often state and contents were changed, and a digest of what they are."""
        of_state, of_contents = SEALED[schema_of(self._db)]
        serial, *state = self._db.execute(of_state).fetchone()
        contents = self._db.execute(of_contents).fetchall()
        return seal.Seal(serial, hashlib.sha256(msgspec.json.encode((state, contents))).hexdigest())

    @_twice_on_a_full_disk
    def begin(self, attempt: Attempt) -> Attempt:
        """Returns the attempt with the id it got. Forgets old ones."""
        with _transaction(self._db):
            cursor = self._db.execute(
                "INSERT INTO attempts (kind, origin, started_at) VALUES (?, ?, ?)",
                (attempt.kind, attempt.trigger, attempt.started_at),
            )
            latest = cursor.lastrowid
            assert latest is not None
            self._db.execute(
                "DELETE FROM attempts WHERE id <= ? OR (id <= ? AND julianday(started_at) < julianday(?, ?))",
                (latest - KEPT_ATTEMPTS, latest - KEPT_AT_ANY_AGE, attempt.started_at, KEPT_FOR),
            )
        return msgspec.structs.replace(attempt, id=latest)

    def note(self, attempt: Attempt) -> None:
        """Like `save_attempt`, for a stage on the way: it outlives the daemon, but not yet a power cut."""
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            self.save_attempt(attempt)
        finally:
            self._db.execute("PRAGMA synchronous = FULL")

    @_twice_on_a_full_disk
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

    @_twice_on_a_full_disk
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

    @_twice_on_a_full_disk
    def save_process(self, identity: Identity, role: Role, running: Running | None = None) -> None:
        values = (*msgspec.structs.astuple(identity), role, msgspec.json.encode(running).decode())
        self._db.execute("REPLACE INTO processes VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def remove_process(self, identity: Identity) -> None:
        """Raises nothing. A row that stays is harmless: a later start sees that this process is gone."""
        try:
            self._db.execute(
                "DELETE FROM processes WHERE (pid, start_ticks, boot_id) = (?, ?, ?)",
                (identity.pid, identity.start_ticks, identity.boot_id),
            )
        except sqlite3.Error as error:
            log.error("cannot write the database: %s", error)

    def forget_processes(self) -> None:
        self._db.execute("DELETE FROM processes")

    @contextmanager
    def _sealed(self) -> Iterator[None]:
        with _transaction(self._db):
            yield
            self._db.execute("UPDATE state SET serial = serial + 1")
        self._set_seal()

    def _set_seal(self) -> None:
        """A seal that stays behind only notices less, so what is saved already does not fail over it."""
        try:
            seal.write(self._seal, self.seal())
        except OSError as error:
            if self.reserve.give_up():
                self._set_seal()
            else:
                log.error("cannot write %s: %s", self._seal, error)


def schema_of(db: sqlite3.Connection) -> int:
    """0 for an empty database."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    version = schema_of(db)
    if version == 0:
        steps = SCHEMA.split(";\n")
    else:
        steps = [step for older in range(version, SCHEMA_VERSION) for step in MIGRATIONS[older].split(";\n")]
        if steps:
            _keep_copy(db, path.with_name(f"{path.name}.schema-{version}"))
    if steps:
        with _transaction(db):
            for statement in steps:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _keep_copy(db: sqlite3.Connection, path: Path) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.unlink(missing_ok=True)
    db.execute("VACUUM INTO ?", (str(unfinished),))
    unfinished.rename(path)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _version(slot: str, commit: str, tree: int) -> Version | None:
    found = [name for name in SLOTS if name == slot]
    return Version(found[0], commit, tree) if found else None


def _columns(version: Version | None) -> tuple[str, str, int]:
    return (version.slot, version.commit, version.tree) if version else ("", "", 0)


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
