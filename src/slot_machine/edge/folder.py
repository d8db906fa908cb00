"""The folder with Traefik's routes. The edge alone writes there: an unreadable file drops the routes of all apps."""

import logging
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from slot_machine.core.errors import StartRefused
from slot_machine.edge.routes import TEMPLATE

SET_ASIDE = "set-aside"
TOKEN_BYTES = 24
PRIVATE, FOLDER = 0o600, 0o700

log = logging.getLogger(__name__)


def make(folder: Path) -> None:
    """For this user alone, and writable. Raises StartRefused."""
    hint = "name another folder as `state` in edge.json, or let this user write there"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid():
            raise StartRefused(f"{folder} belongs to another user", hint)
        folder.chmod(FOLDER)
        write(folder / ".writable", b"")
        (folder / ".writable").unlink()
    except OSError as error:
        raise StartRefused(f"cannot write to {folder}: {error.strerror}", hint) from None


def write(path: Path, content: bytes) -> None:
    """In one step. Traefik does not read the temporary name, as it ends with no known suffix. Raises OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def settle(folder: Path, wanted: Mapping[str, bytes]) -> bool:
    """Makes the files what they should be, and returns whether any was not. Others are moved to `set-aside`, and said.

    Raises OSError, ValueError.
    """
    changed = False
    for entry in sorted(os.listdir(folder)):
        if entry not in wanted:
            _set_aside(folder, entry)
            changed = True
    for name, content in wanted.items():
        if TEMPLATE.search(content):
            raise ValueError(f"{name} would be a template")
        changed |= keep(folder / name, content)
    return changed


def keep(path: Path, content: bytes) -> bool:
    """Writes only what is not there yet, so that an edge can start on a full disk. Returns whether. Raises OSError."""
    if _read(path) == content:
        return False
    write(path, content)
    return True


def token(path: Path) -> str:
    """A secret that outlives the edge, so that its routes stay the same. Raises OSError."""
    known = _read(path)
    if not known or len(known) != TOKEN_BYTES * 2:
        known = secrets.token_hex(TOKEN_BYTES).encode()
        write(path, known)
    return known.decode()


def _set_aside(folder: Path, name: str) -> None:
    path = folder / name
    if name.startswith(".") and name.endswith(".new"):
        path.unlink(missing_ok=True)  # Of a write that was killed.
        return
    aside = folder.parent / SET_ASIDE
    aside.mkdir(mode=FOLDER, exist_ok=True)
    kept = aside / f"{name}.{secrets.token_hex(4)}"
    path.rename(kept)
    log.warning("%s is not of the edge, which alone writes there: it was moved to %s", path, kept)


def _read(path: Path) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return file.read() if stat.S_ISREG(os.fstat(fd).st_mode) else None
    except OSError:
        return None
