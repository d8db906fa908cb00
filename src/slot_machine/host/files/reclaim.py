"""Deletes what a failed deploy wrote into its tree, if the disk is too full to keep that for the next one."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from slot_machine.host.files import mounts
from slot_machine.host.files.databases import begins_as_one, database_of
from slot_machine.host.files.removal import remove_here
from slot_machine.host.git.listing import is_packages
from slot_machine.host.user.rights import acting

NEW_TREE_NS = 1
"""The time for a tree that did not exist: older than any file."""


@acting()
def begin(tree: Path) -> int:
    """Call it before a deploy writes into the tree. Returns the time in ns: no file that the deploy writes is older.

    The time is that of the tree's file system. Raises OSError.
    """
    if not tree.exists():
        return NEW_TREE_NS
    os.utime(tree)
    return tree.stat().st_ctime_ns


def reclaim(tree: Path, begun_ns: int) -> None:
    """Removes files that were written since `begun_ns`. Blocks. Raises OSError.

    Removes a folder of packages as a whole if any of it is new. Keeps older files even if the deploy has changed their
    mode or owner, mounts, and databases, which the app may have had before.
    """
    until_ns = time.time_ns()
    for path in list(_files(tree)):
        status = path.lstat()
        was_written = begun_ns <= min(status.st_ctime_ns, status.st_mtime_ns) and status.st_ctime_ns <= until_ns
        if was_written and (begun_ns == NEW_TREE_NS or not _is_of_database(path)):
            path.unlink()
    for folder in list(_packages(tree)):
        if any(begun_ns <= path.lstat().st_ctime_ns for path in folder.rglob("*")):
            remove_here(folder)


def _files(tree: Path) -> Iterator[Path]:
    for path, folders, names in _walk(tree):
        folder = Path(path)
        links = [name for name in folders if (folder / name).is_symlink()]
        folders[:] = [name for name in folders if not is_packages(folder / name)]
        yield from (folder / name for name in names if (folder, name) != (tree, ".git"))
        yield from (folder / name for name in links)


def _is_of_database(path: Path) -> bool:
    database = Path(database_of(str(path)))
    return database.is_file() and not database.is_symlink() and begins_as_one(str(database))


def _packages(tree: Path) -> Iterator[Path]:
    for path, folders, _ in _walk(tree):
        found = [name for name in folders if is_packages(Path(path, name)) and not Path(path, name).is_symlink()]
        folders[:] = [name for name in folders if name not in found]
        yield from (Path(path, name) for name in found)


def _walk(tree: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    mounted = mounts.below(tree)
    for path, folders, names in os.walk(tree):
        folders[:] = [name for name in folders if Path(path, name) not in mounted]
        yield path, folders, names
