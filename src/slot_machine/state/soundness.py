"""Opens the database only if it is sound. The check comes before SQLite may write to it."""

import sqlite3
from pathlib import Path

import msgspec

from slot_machine.core.errors import StartRefused, StateDamaged
from slot_machine.core.model import SLOTS, TREES
from slot_machine.host.files.databases import COMPANIONS, SMALLEST_PAGE_BYTES
from slot_machine.host.files.reserve import Reserve
from slot_machine.host.git import trees
from slot_machine.state import seal
from slot_machine.state.database import BUSY_TIMEOUT_S
from slot_machine.state.history import KEPT_ATTEMPTS
from slot_machine.state.schema import SCHEMA_VERSION, schema_of
from slot_machine.state.store import Store

HINT = (
    "`slot-machine start --rebuild-state` makes a new one from the slots and the links `live` and `previous`,"
    " and keeps what is there aside; without a history"
)

UNREADABLE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_AUTH,
}
"""Errors that the machine causes, not a damaged file."""

SEALED_SINCE_SCHEMA = 3


def open_sound(path: Path) -> Store:
    """Raises StateDamaged, or StartRefused if the database can't be read or belongs to a newer slot-machine."""
    try:
        # Before SQLite maps its shared memory: a full disk would end the process with SIGBUS.
        Reserve(path.parent).give_up_if_full()
        if _has_content(path):
            _examine(path)
        return Store.open(path)
    except sqlite3.Error as error:
        if Reserve(path.parent).saves(error):
            return open_sound(path)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in UNREADABLE:
            hint = f"see to free space on, and to permissions of, {path.parent}"
            raise StartRefused(f"cannot open the database {path}: {error}", hint) from error
        raise StateDamaged(f"the database {path} is damaged: {error}", HINT) from error
    except (ValueError, msgspec.ValidationError) as error:
        raise StateDamaged(f"the database {path} is damaged: {error}", HINT) from error


def parts(path: Path) -> list[Path]:
    """The existing files of a database. If only the first ones are moved, the rest counts as damaged."""
    names = [*(f"{path.name}{suffix}" for suffix in ("", *COMPANIONS)), seal.path_of(path).name]
    return [part for part in map(path.with_name, names) if part.exists() or part.is_symlink()]


def _has_content(path: Path) -> bool:
    """False before the very first start. Raises StateDamaged if there was a database and it is gone."""
    # SQLite takes a file of one byte for an empty database, and deletes its write-ahead log.
    if path.exists() and path.stat().st_size >= SMALLEST_PAGE_BYTES:
        return True
    log = path.with_name(f"{path.name}-wal")
    if traces := [*_traces(path), *([log.name] if log.exists() else [])]:
        what = "is empty" if path.exists() else "is missing"
        raise StateDamaged(f"the database {path} {what}, but there is {', '.join(traces)}", HINT)
    return False


def _traces(path: Path) -> list[str]:
    """Names of files that exist only if the database had contents."""
    slots, worktrees = [trees.slot_name(slot) for slot in SLOTS], [trees.name(tree) for tree in TREES]
    names = [seal.path_of(path).name, "live", "previous", *slots, *worktrees]
    return [name for name in names if (file := path.with_name(name)).exists() or file.is_symlink()]


def _examine(path: Path) -> None:
    # A rollback journal is left by a kill during the very first start. SQLite must be able to play it back.
    mode = "rw" if path.with_name(f"{path.name}-journal").exists() else "ro"
    db = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        _check_form(db, path)
        _check_seal(Store(db, path), schema_of(db), path)
    finally:
        db.close()


def _check_form(db: sqlite3.Connection, path: Path) -> None:
    check = db.execute("PRAGMA quick_check").fetchone()[0]
    if check != "ok":
        raise sqlite3.DatabaseError(check)
    if programs := db.execute("SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')").fetchall():
        raise sqlite3.DatabaseError(f"it has triggers or views that are not ours: {programs}")
    version = schema_of(db)
    if version > SCHEMA_VERSION:
        raise StartRefused(
            f"the database {path} is of a newer slot-machine (schema {version}, this one knows {SCHEMA_VERSION})",
            "install the newer slot-machine again",
        )


def _check_seal(store: Store, schema: int, path: Path) -> None:
    then = seal.read(seal.path_of(path))
    if schema < SEALED_SINCE_SCHEMA:
        if then or (schema == 0 and _traces(path)):
            raise StateDamaged(f"the database {path} is damaged: it has lost its form", HINT)
        return
    store.attempts(KEPT_ATTEMPTS)
    now = store.seal()
    if then and then.serial > now.serial:
        lost = f"{then.serial - now.serial} of its {then.serial} changes"
        raise StateDamaged(f"the database {path} has lost {lost}; its {path.name}-wal may be gone", HINT)
    if then and then.serial == now.serial and then.digest != now.digest:
        raise StateDamaged(f"the database {path} is damaged: it does not say what was saved in it", HINT)
