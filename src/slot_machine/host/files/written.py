"""What an app wrote into its own tree, and which lines of the configuration would keep that for all versions."""

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from slot_machine.host.files import mounts
from slot_machine.host.files.databases import database_of
from slot_machine.host.git.listing import COMPILED, is_packages

MOST_FILES = 20_000
"""The search ends after so many files."""

CACHES = {
    COMPILED, "cache", "caches", "tmp", "temp", "log", "logs", "coverage", "target", "_build", "deps", "sessions",
    "venv", "env", "site-packages", "bundle", "bootsnap", "pids", "sockets",
}  # fmt: skip
"""Names of folders with what may be lost. A name that begins with a dot counts as one, too."""

PASSING = (".pyc", ".pid", ".log", ".sock", ".lock", ".tmp", ".swp", "~", ".out", ".err")
"""Ends of names of files that may be lost."""


def candidates(tree: Path, names: Iterable[str], since_ns: int) -> list[str]:
    """The files at or below these names that changed after a time, without caches and packages. Blocks."""
    files = itertools.islice(_files(tree, names), MOST_FILES)
    return sorted(name for name in files if _changed_ns(tree / name) > since_ns)


def lines(names: Iterable[str], tracked: Sequence[str], root: str) -> str:
    """Fields that share these files: the topmost folder without files of the commit, else the file itself."""
    of_commit = {str(parent) for name in tracked for parent in Path(name).parents if not is_marker(name)}
    prefix = f"{root.strip('/')}/" if root.strip("/.") else ""
    folders, files = set[str](), set[str]()
    for name in names:
        if not name.startswith(prefix):
            continue
        parents = [str(parent) for parent in reversed(Path(name).parents[:-1])]
        own = next((parent for parent in parents if parent not in of_commit and f"{parent}/" != prefix), "")
        (folders if own else files).add((own or database_of(name)).removeprefix(prefix))
    fields = {"shared_dirs": sorted(folders), "shared_files": sorted(files)}
    return ", ".join(f'"{field}": {json.dumps(paths)}' for field, paths in fields.items() if paths)


def is_marker(name: str) -> bool:
    """Whether it is a file such as `.gitkeep`, which only makes git keep a folder."""
    return os.path.basename(name).startswith(".")


def _files(tree: Path, names: Iterable[str]) -> Iterator[str]:
    left, mounted = list(names), mounts.below(tree)
    for name in left:
        path = tree / name
        base = os.path.basename(name)
        if path in mounted or is_packages(path) or base.startswith(".") or base.endswith(PASSING):
            continue
        if path.is_symlink() or not path.is_dir():
            if path.is_file() and not path.is_symlink():
                yield name
        elif base not in CACHES and not os.path.lexists(path / ".git"):
            left += (f"{name}/{entry}" for entry in _listed(path))


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _changed_ns(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0
