"""Files of a commit at a place where a link to shared data goes. All functions block and raise OSError."""

import itertools
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from slot_machine.core.shared_paths import SharedPath
from slot_machine.host.files import links, shared
from slot_machine.host.files.databases import same
from slot_machine.host.files.shared import Shared

MOST_COMPARED = 1000


def hidden(tree: Path, tracked: Iterable[str], path: SharedPath, target: Path) -> list[str]:
    """The tracked files, apart from empty ones, that the shared data lacks or has with another content."""
    return [name for name in tracked if _differs(tree / name, target / os.path.relpath(name, path.place))]


def remove(tree: Path, tracked: Iterable[str], place: str) -> bool:
    """Removes unchanged files of a commit, and the folders that are empty then. Returns whether anything is left."""
    for name in tracked:
        (tree / name).unlink(missing_ok=True)
    for folder, _, _ in os.walk(tree / place, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)
    return os.path.lexists(tree / place)


def others(tree: Path, tracked: Iterable[str], place: str) -> list[str]:
    """The topmost files and folders at a place that contain no file of the commit."""
    names = set(tracked)
    of_commit = names | {str(parent) for name in names for parent in Path(name).parents}
    left, found = [place], []
    while left:
        name = left.pop()
        if name not in of_commit:
            found.append(name)
        elif name not in names:
            left += [f"{name}/{entry}" for entry in os.listdir(tree / name)]
    return found if os.path.lexists(tree / place) else []


def hand_over(tree: Path, path: SharedPath, folder: Shared) -> None:
    """Makes the commit's files the shared data. A symlink is none."""
    if not (tree / path.place).is_symlink():
        shared.hand_over(tree, path, folder)


def some_files(tree: Path, place: str) -> list[str]:
    """The first files at or below a place."""
    if not (tree / place).is_dir():
        return [place]
    walked = ((Path(folder), name) for folder, _, names in os.walk(tree / place) for name in names)
    return [str((folder / name).relative_to(tree)) for folder, name in itertools.islice(walked, MOST_COMPARED)]


def fill(source: Path, target: Path) -> None:
    """Moves the entries of a folder to another one, unless that has one of the same name."""
    for name in os.listdir(source):
        links.moved(source / name, target / name)


def _differs(committed: Path, data: Path) -> bool:
    if not os.path.lexists(committed):  # It was moved there.
        return False
    if committed.is_symlink():
        return not data.is_symlink() or os.readlink(data) != os.readlink(committed)
    return bool(committed.stat().st_size) and not same(committed, data)
