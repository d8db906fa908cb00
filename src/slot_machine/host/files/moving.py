"""Moves a SQLite database to `shared` while the app may run: all of its files, or none, and only if nobody has it open.

A program that has it open knows the names of its journal by the old path. SQLite itself opens a symlink's target, so it
finds the journal of a database that is opened later (https://www.sqlite.org/howtocorrupt.html).
"""

import errno
import fcntl
import itertools
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_machine.core.shared_paths import SharedPath
from slot_machine.host.files import shared
from slot_machine.host.files.databases import COMPANIONS
from slot_machine.host.files.regular import open_regular
from slot_machine.host.files.shared import Shared
from slot_machine.host.process import proc
from slot_machine.host.user import rights

FIRST_BYTE, BYTES = 0x40000000, 512
"""SQLite's locks are on these bytes (https://www.sqlite.org/src/file/src/os.h)."""

FLOCK = "hhqqi4x"
"""struct flock, fcntl_locking(2)"""


class InUse(OSError):
    """A process has a database open. The message names both."""


def hand_over(tree: Path, path: SharedPath, folder: Shared) -> None:
    """`shared.hand_over`, unless a process has a database there open. Raises InUse, OSError."""
    place = tree / path.place
    if not path.is_folder and shared.is_database(place):
        _hand_over_database(tree, path, folder)
    else:
        check_unused(place)
        shared.hand_over(tree, path, folder)


def _hand_over_database(tree: Path, path: SharedPath, folder: Shared) -> None:
    """Like `shared.hand_over`, for a database with its companions. Raises InUse, OSError.

    The companions get their second name first, and lose the first one last: at each moment, both names of the database
    have them. Nobody can write to them meanwhile.
    """
    place = tree / path.place
    check_unused(place)
    with _locked(place):
        shared.check_movable(tree, path)
        target = folder.target(path)
        rights.make_folder(target.parent)
        found = [suffix for suffix in COMPANIONS if os.path.lexists(f"{place}{suffix}")]
        for suffix in COMPANIONS:
            if suffix in found:
                _link(Path(f"{place}{suffix}"), Path(f"{target}{suffix}"))
            elif os.path.lexists(f"{target}{suffix}"):
                _set_aside(Path(f"{target}{suffix}"))
        shared.hand_over(tree, path, folder)
        try:
            check_unused(target)
        except InUse:
            shared.take_back(tree, path, folder)
            raise
        for suffix in found:
            Path(f"{place}{suffix}").unlink()


def check_unused(place: Path) -> None:
    """Raises InUse if a process has a database open that is, or lies below, this place."""
    for pid, name in shared.open_databases(place):
        raise InUse(errno.EBUSY, f"{proc.named(pid)} has it open", name)


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Inside, no program reads or writes the database. Raises InUse if one does so now."""
    fd = open_regular(database, os.O_RDWR)
    try:
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, FIRST_BYTE, BYTES, 0))
        except (BlockingIOError, PermissionError):
            raise InUse(errno.EBUSY, "a program uses it", str(database)) from None
        yield
    finally:
        os.close(fd)


def _link(source: Path, target: Path) -> None:
    """Makes a second name. What an earlier daemon linked, and the app has replaced since, is renamed."""
    if os.path.lexists(target):
        if target.samefile(source):
            return
        _set_aside(target)
    os.link(source, target, follow_symlinks=False)


def _set_aside(target: Path) -> None:
    """SQLite must not take it for a part of another database."""
    names = (target.with_name(f"{target.name}.unfinished-{number}") for number in itertools.count(1))
    target.rename(next(name for name in names if not os.path.lexists(name)))
