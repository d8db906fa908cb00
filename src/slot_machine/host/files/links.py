"""Symlinks that are replaced in one step, and names that are exchanged in one."""

import ctypes
import errno
import os
from pathlib import Path

AT_FDCWD = -100
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2


def point(link: Path, target: str | None) -> None:
    """Makes `link` point to `target` in one step. Removes it for None. Raises OSError."""
    if target is None:
        link.unlink(missing_ok=True)
        return
    if link.is_symlink() and os.readlink(link) == target:
        return
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    try:
        fresh.rename(link)
    except OSError:
        fresh.unlink()
        raise


def exchanged(one: Path, other: Path) -> bool:
    """Swaps two names in one step. False if the file system can't do that. Raises OSError."""
    return _renamed(one, other, RENAME_EXCHANGE)


def moved(source: Path, target: Path) -> bool:
    """Renames the source, and replaces nothing. False if the target exists. Raises OSError."""
    try:
        if _renamed(source, target, RENAME_NOREPLACE):
            return True
    except FileExistsError:
        return False
    if os.path.lexists(target):
        return False
    source.rename(target)
    return True


def _renamed(one: Path, other: Path, flags: int) -> bool:
    """renameat2(2)"""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    paths = os.fsencode(one), os.fsencode(other)
    if renameat2 and renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], flags) == 0:
        return True
    if renameat2 and ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(one))
    return False
