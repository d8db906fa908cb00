"""Finds SQLite databases inside of trees: each version then has its own."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from slot_machine.host.files.regular import open_regular
from slot_machine.host.git.listing import COMPILED

MAGIC = b"SQLite format 3\0"
SMALLEST_PAGE_BYTES = 512
"""The size of a database is a multiple of this (https://www.sqlite.org/fileformat.html)."""

COMPANIONS = ("-wal", "-shm", "-journal")
"""Suffixes of files that belong to a database. It loses commits without them, and they damage another database."""

SKIPPED = {".git", "node_modules", ".venv", "venv", "bundle", "site-packages", COMPILED, ".cache", ".tox"}
MOST_FILES = 20_000
"""The search ends after so many files. It looks at the deepest ones last."""

COMPARED_BYTES = 100_000_000
PIECE_BYTES = 1_000_000


def forked(old: Path, new: Path) -> list[str]:
    """The names of databases in `old` that are missing in `new`, or differ there. Blocks."""
    return [name for name in sorted(_databases(old)) if not same(old / name, new / name)]


def database_of(name: str) -> str:
    """The database to which a file belongs by its name. For other files, the name itself."""
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
    """All files, breadth first."""
    folders = [str(tree)]
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    yield entry
                elif entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED:
                    folders.append(entry.path)


def begins_as_one(path: str) -> bool:
    """Whether the file begins like a SQLite database. Never waits for a FIFO. Raises OSError."""
    with _opened(path) as file:
        return file.read(len(MAGIC)) == MAGIC


def same(one: Path, other: Path) -> bool:
    """Whether both are files with the same content. False for large ones. Blocks."""
    try:
        with _opened(one) as ours, _opened(other) as theirs:
            sizes = {os.fstat(file.fileno()).st_size for file in (ours, theirs)}
            return len(sizes) == 1 and sizes.pop() < COMPARED_BYTES and _same_content(ours, theirs)
    except OSError:
        return False


def _same_content(one: BinaryIO, other: BinaryIO) -> bool:
    """Compares at most COMPARED_BYTES, because the app may still write."""
    for _ in range(0, COMPARED_BYTES, PIECE_BYTES):
        piece = one.read(PIECE_BYTES)
        if piece != other.read(PIECE_BYTES):
            return False
        if not piece:
            break
    return True


def _opened(path: str | Path) -> BinaryIO:
    return os.fdopen(open_regular(Path(path)), "rb")
