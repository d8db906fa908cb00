"""The API's token, in a file that only the daemon's user can read."""

import hmac
import logging
import os
import re
import secrets
import stat
from pathlib import Path

from slot_machine.host.files.regular import open_regular

NAME = "token"
MOST_BYTES = 4096
WELL_FORMED = re.compile(rb"[A-Za-z0-9._~+/-]{32,}=*")
"""RFC 6750, section 2.1; with at least 32 characters, too long to guess."""

log = logging.getLogger(__name__)


def ensure(data: Path) -> None:
    """Makes a token if there is none, or if it is damaged or readable for others. Logs failures."""
    path = data / NAME
    try:
        _read(path)
    except FileNotFoundError:
        _make(path)
    except (ValueError, PermissionError) as error:
        log.warning("%s is replaced by a new one: %s", path, error)
        _make(path)
    except OSError as error:
        log.error("cannot read %s: %s", path, error.strerror)


def matches(data: Path, given: str) -> bool:
    """Compares in constant time. A token that `ensure` would replace never matches."""
    try:
        return hmac.compare_digest(_read(data / NAME), given.encode(errors="surrogateescape"))
    except (OSError, ValueError):
        return False


def _read(path: Path) -> bytes:
    """Raises ValueError for a token that must not be used, and OSError."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("it is not a file")
    with os.fdopen(open_regular(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        found = os.fstat(file.fileno())
        content = file.read(MOST_BYTES).strip()
    if found.st_uid != os.geteuid():
        raise ValueError(f"it belongs to user {found.st_uid}")
    if found.st_mode & 0o077:
        raise ValueError(f"others may use it (mode {stat.S_IMODE(found.st_mode):04o})")
    if not WELL_FORMED.fullmatch(content):
        raise ValueError("it is damaged")
    return content


def _make(path: Path) -> None:
    new = path.with_name(f"{NAME}.new")
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        log.error("cannot write %s, so nobody is let in by a token: %s", path, error.strerror)
