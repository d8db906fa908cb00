"""The folder `kept`: files that the app wrote into its tree, moved there before the next version gets the tree."""

import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from slot_machine.host.files import foldersize, mounts
from slot_machine.host.files.app_files import is_folder, is_too_deep
from slot_machine.host.files.databases import COMPANIONS
from slot_machine.host.files.removal import remove_here
from slot_machine.host.user.rights import acting

MOST_FOLDERS = 20
MOST_BYTES = 1_000_000_000
"""Beyond either limit, the oldest folders are removed, but never the latest one."""

NAMED = 5
"""A message names so many files and gives the number of the others."""

NAME_SHOWN = 200
"""A message shows so many characters of a name."""


class Kept:
    def __init__(self, data: Path) -> None:
        self.root = data / "kept"

    @acting()
    def new_folder(self, slot: str) -> Path:
        """The path for a new folder, which does not exist yet."""
        name = f"{slot}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        taken = {path.name for path in self.root.iterdir()} if self.root.exists() else set()
        names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
        return self.root / next(free for free in names if free not in taken)

    def prune(self, latest: Path, removed: list[str]) -> None:
        """Removes the oldest folders beyond the limits, and appends their names to `removed`. Blocks.

        Goes on if one can't be removed, and raises the last OSError at the end.
        """
        older = sorted(set(self.root.iterdir()) - {latest}, key=lambda path: path.lstat().st_mtime_ns, reverse=True)
        left = MOST_BYTES - _size(latest)
        failure: OSError | None = None
        for number, folder in enumerate(older, start=2):
            left -= _size(folder)
            if number > MOST_FOLDERS or left < 0:
                try:
                    remove_here(folder)
                    removed.append(folder.name)
                except OSError as error:
                    failure = error
        if failure:
            raise failure


def move(tree: Path, names: Iterable[str], folder: Path, moved: list[str]) -> None:
    """Moves files and folders of the tree to `folder`. Adds those that existed to `moved`. Blocks. Raises OSError."""
    mounted = mounts.below(tree)
    for name in names:
        in_the_way = (
            point for point in mounted if (tree / name).is_relative_to(point) or point.is_relative_to(tree / name)
        )
        mounts.refuse(in_the_way, f"cannot keep {printable(name)} in {tree}")
        if is_too_deep(tree / name):
            raise OSError(errno.ENAMETOOLONG, f"{printable(name)} in {tree} is too deep")
        members = (name, *(f"{name}{suffix}" for suffix in COMPANIONS))
        family = [member for member in members if os.path.lexists(tree / member)]
        place = _free(folder, family)
        for member in family:
            _move(tree / member, place / member)
        moved += family[:1]


def move_tree(tree: Path, folder: Path) -> None:
    """Moves the whole tree to `folder`, so that git can make a new worktree in its place. Blocks. Raises OSError."""
    place = _free(folder, [tree.name])
    place.mkdir(parents=True, exist_ok=True)
    tree.rename(place / tree.name)
    git_file = place / tree.name / ".git"
    if git_file.is_file() or git_file.is_symlink():  # It would make git take this folder for the new worktree.
        git_file.unlink()


def in_words(names: list[str]) -> str:
    shown = ", ".join(map(printable, names[:NAMED]))
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown


def printable(name: str) -> str:
    """The name as one line of printable text. Of a long name, only its end."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    text = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return text if len(text) <= NAME_SHOWN else f"...{text[-NAME_SHOWN:]}"


def _free(folder: Path, names: list[str]) -> Path:
    """`folder` or a numbered one in it: the first where no name is taken and no symlink would be followed."""
    places = (folder / str(number) if number > 1 else folder for number in itertools.count(1))
    return next(place for place in places if not any(_is_taken(place, name) for name in names))


def _is_taken(place: Path, name: str) -> bool:
    parents = (place / parent for parent in Path(name).parents)
    return os.path.lexists(place / name) or any(os.path.lexists(path) and not is_folder(path) for path in parents)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except PermissionError:
        _open(source)
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.move(source, target, copy_function=_copied)


def _open(path: Path) -> None:
    """Allows writing in a folder and its parent: a rename changes both. Raises OSError."""
    for folder in (path.parent, path):
        if is_folder(folder):
            folder.chmod(0o700)


def _copied(source: str, target: str) -> None:
    """Copies to another file system. Skips sockets and FIFOs, which contain nothing."""
    mode = os.lstat(source).st_mode
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        shutil.copy2(source, target, follow_symlinks=False)


def _size(folder: Path) -> int:
    return sum(status.st_blocks * 512 for status in foldersize.walk(str(folder)))
