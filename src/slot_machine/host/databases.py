"""SQLite databases that lie in the trees themselves, so that each version has its own."""

import filecmp
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from slot_machine.host.listing import COMPILED

MAGIC = b"SQLite format 3\0"
SMALLEST_PAGE_BYTES = 512
"""The size of a database is a multiple of it (https://www.sqlite.org/fileformat.html)."""

COMPANIONS = ("-wal", "-shm", "-journal")
"""Of a SQLite database: without them it lacks what was committed last, and they harm another one of its name."""

SKIPPED = {".git", "node_modules", ".venv", "venv", "bundle", "site-packages", COMPILED, ".cache", ".tox"}
MOST_FILES = 20_000
"""Are looked at; what lies deepest is not."""

COMPARED_BYTES = 100_000_000


def forked(old: Path, new: Path) -> list[str]:
    """Names of databases in one tree that the other one has not, or has otherwise. Blocks."""
    return [name for name in sorted(_databases(old)) if not _same(old / name, new / name)]


def database_of(name: str) -> str:
    """The one whose companion it is by its name, else that name."""
    return next((name.removesuffix(suffix) for suffix in COMPANIONS if name.endswith(suffix)), name)


def _databases(tree: Path) -> Iterator[str]:
    for entry in islice(_files(tree), MOST_FILES):
        try:
            size = entry.stat(follow_symlinks=False).st_size
            if size and size % SMALLEST_PAGE_BYTES == 0 and begins_as_one(entry.path):
                yield str(Path(entry.path).relative_to(tree))
        except OSError:
            continue


def _files(tree: Path) -> Iterator["os.DirEntry[str]"]:
    """Breadth first."""
    folders = [str(tree)]
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        yield entry
                    elif entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED:
                        folders.append(entry.path)
        except OSError:
            continue


def begins_as_one(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _same(one: Path, other: Path) -> bool:
    try:
        sizes = one.stat().st_size, other.stat().st_size
        return sizes[0] == sizes[1] < COMPARED_BYTES and filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False
