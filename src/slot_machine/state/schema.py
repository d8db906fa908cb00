"""The tables of the database, and how those of an earlier release become these."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_machine.host.git.trees import TREE_OF_SLOT

SCHEMA_VERSION = 8

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
    previous_tree INTEGER NOT NULL DEFAULT 0,
    live_config TEXT NOT NULL DEFAULT '',
    previous_config TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO state (id) VALUES (1);
CREATE TABLE trees (number INTEGER PRIMARY KEY, commit_hash TEXT NOT NULL, fingerprint TEXT NOT NULL) STRICT;
CREATE TABLE made (tree INTEGER PRIMARY KEY, files BLOB, begun_ns INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE sizes (tree INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, inodes INTEGER NOT NULL) STRICT;
CREATE TABLE shared (tree INTEGER PRIMARY KEY, paths TEXT NOT NULL) STRICT;
CREATE TABLE setups (tree INTEGER PRIMARY KEY, mark BLOB NOT NULL) STRICT;
CREATE TABLE build_variables (tree INTEGER PRIMARY KEY, digests TEXT NOT NULL) STRICT;
CREATE TABLE assets (tree INTEGER PRIMARY KEY, files BLOB NOT NULL) STRICT;
CREATE TABLE processes (
    pid INTEGER PRIMARY KEY,
    start_ticks INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    mark TEXT NOT NULL DEFAULT '',
    cgroup TEXT NOT NULL DEFAULT '',
    role TEXT NOT NULL DEFAULT 'other',
    running TEXT NOT NULL DEFAULT 'null',
    release_id INTEGER NOT NULL DEFAULT 0,
    run TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    trigger TEXT NOT NULL,
    commit_hash TEXT NOT NULL DEFAULT '',
    slot TEXT NOT NULL DEFAULT '',
    started_at TEXT NOT NULL,
    stage TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT 'running',
    error TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL DEFAULT 0,
    stage_seconds TEXT NOT NULL DEFAULT '{}',
    requests TEXT NOT NULL DEFAULT '""',
    warnings TEXT NOT NULL DEFAULT '[]',
    config TEXT NOT NULL DEFAULT '""',
    job TEXT NOT NULL DEFAULT '',
    who TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    ref TEXT NOT NULL DEFAULT '',
    subject TEXT NOT NULL DEFAULT '',
    author TEXT NOT NULL DEFAULT '',
    cause TEXT NOT NULL DEFAULT '',
    away_s REAL NOT NULL DEFAULT 0,
    verdict TEXT NOT NULL DEFAULT '',
    share REAL NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE jobs (name TEXT PRIMARY KEY, schedule TEXT NOT NULL, handled_until TEXT NOT NULL) STRICT;
CREATE TABLE job_runs (attempt INTEGER PRIMARY KEY, under_way TEXT NOT NULL) STRICT;
CREATE TABLE outputs (attempt INTEGER PRIMARY KEY, texts BLOB NOT NULL) STRICT;
CREATE TABLE one_offs (mark TEXT PRIMARY KEY, one_off TEXT NOT NULL) STRICT;
CREATE TABLE maintenance (message TEXT NOT NULL, since TEXT NOT NULL, kind TEXT NOT NULL) STRICT;
CREATE INDEX attempts_of_commit ON attempts (commit_hash);
CREATE TABLE restarts (
    process TEXT NOT NULL,
    cause TEXT NOT NULL,
    number INTEGER NOT NULL,
    last_at TEXT NOT NULL,
    PRIMARY KEY (process, cause)
) STRICT;
CREATE TABLE exits (
    process TEXT PRIMARY KEY,
    how TEXT NOT NULL,
    ended_at TEXT NOT NULL,
    commit_hash TEXT NOT NULL,
    slot TEXT NOT NULL,
    lines TEXT NOT NULL
) STRICT;
CREATE TABLE candidates (candidate TEXT NOT NULL) STRICT;
"""
"""`running` is a `core.model.Running` in JSON for a run of the app, `null` for any other process."""

_COLUMNS_SINCE_TREES = (
    "live_slot, live_commit, live_tree, previous_slot, previous_commit, previous_tree, last_deploy_time"
)
STATE_COLUMNS = f"{_COLUMNS_SINCE_TREES}, live_config, previous_config"

_CONTENTS = "SELECT number, commit_hash, fingerprint FROM trees ORDER BY number"
_SEALED_SINCE_TREES = (f"SELECT serial, {_COLUMNS_SINCE_TREES} FROM state", _CONTENTS)
_SEALED_SINCE_CONFIGS = (f"SELECT serial, {STATE_COLUMNS} FROM state", _CONTENTS)
SEALED = {
    3: (
        "SELECT serial, live_slot, live_commit, previous_slot, previous_commit, last_deploy_time FROM state",
        "SELECT name, commit_hash, fingerprint FROM slots ORDER BY name",
    ),
    4: _SEALED_SINCE_TREES,
    5: _SEALED_SINCE_TREES,
    6: _SEALED_SINCE_CONFIGS,
    7: _SEALED_SINCE_CONFIGS,
    8: _SEALED_SINCE_CONFIGS,
}
"""By schema, the queries whose rows the seal covers: the state, then the contents."""


def _tree_of(slot: str) -> str:
    """An SQL expression: the tree that the folder of a slot became when slots became links to trees."""
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
    4: """ALTER TABLE processes ADD COLUMN release_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE processes ADD COLUMN run TEXT NOT NULL DEFAULT '';
UPDATE processes SET release_id = json_extract(running, '$.number'), run = 'web' WHERE running <> 'null';
ALTER TABLE attempts RENAME COLUMN origin TO trigger""",
    5: """CREATE TABLE assets (tree INTEGER PRIMARY KEY, files BLOB NOT NULL) STRICT;
ALTER TABLE state ADD COLUMN live_config TEXT NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN previous_config TEXT NOT NULL DEFAULT '';
UPDATE state SET serial = serial + 1;
ALTER TABLE attempts ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';
ALTER TABLE attempts ADD COLUMN config TEXT NOT NULL DEFAULT '""';
ALTER TABLE attempts ADD COLUMN job TEXT NOT NULL DEFAULT '';
CREATE TABLE jobs (name TEXT PRIMARY KEY, schedule TEXT NOT NULL, handled_until TEXT NOT NULL) STRICT;
CREATE TABLE job_runs (attempt INTEGER PRIMARY KEY, under_way TEXT NOT NULL) STRICT;
CREATE TABLE shared (tree INTEGER PRIMARY KEY, paths TEXT NOT NULL) STRICT;
CREATE TABLE setups (tree INTEGER PRIMARY KEY, mark BLOB NOT NULL) STRICT;
CREATE TABLE environments (
    tree INTEGER PRIMARY KEY,
    started TEXT NOT NULL DEFAULT '',
    built TEXT NOT NULL DEFAULT 'null'
) STRICT""",
    6: """UPDATE processes SET running = json_set(running, '$.env_digest', ifnull(
    (SELECT started FROM environments WHERE tree = json_extract(running, '$.version.tree')), ''))
    WHERE running <> 'null';
CREATE TABLE build_variables (tree INTEGER PRIMARY KEY, digests TEXT NOT NULL) STRICT;
INSERT INTO build_variables SELECT tree, built FROM environments WHERE built <> 'null';
DROP TABLE environments;
ALTER TABLE attempts ADD COLUMN who TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN message TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN ref TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN author TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN away_s REAL NOT NULL DEFAULT 0;
CREATE TABLE outputs (attempt INTEGER PRIMARY KEY, texts BLOB NOT NULL) STRICT;
CREATE TABLE one_offs (mark TEXT PRIMARY KEY, one_off TEXT NOT NULL) STRICT;
CREATE TABLE maintenance (message TEXT NOT NULL, since TEXT NOT NULL, kind TEXT NOT NULL) STRICT;
CREATE INDEX attempts_of_commit ON attempts (commit_hash);
CREATE TABLE restarts (
    process TEXT NOT NULL,
    cause TEXT NOT NULL,
    number INTEGER NOT NULL,
    last_at TEXT NOT NULL,
    PRIMARY KEY (process, cause)
) STRICT;
CREATE TABLE exits (
    process TEXT PRIMARY KEY,
    how TEXT NOT NULL,
    ended_at TEXT NOT NULL,
    commit_hash TEXT NOT NULL,
    slot TEXT NOT NULL,
    lines TEXT NOT NULL
) STRICT;
CREATE TABLE candidates (candidate TEXT NOT NULL) STRICT""",
    7: """ALTER TABLE attempts ADD COLUMN verdict TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN share REAL NOT NULL DEFAULT 0""",
}
"""By schema, the statements that make it the next one."""


def schema_of(db: sqlite3.Connection) -> int:
    """0 for an empty database."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Makes the tables, or migrates them in one transaction; a copy of the older database stays beside it.

    Raises sqlite3.Error, OSError.
    """
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
        with transaction(db):
            for statement in steps:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _keep_copy(db: sqlite3.Connection, path: Path) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.unlink(missing_ok=True)
    db.execute("VACUUM INTO ?", (str(unfinished),))
    unfinished.rename(path)
