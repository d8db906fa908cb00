"""The folder `kept`: what the app wrote into its own tree, out of the way of the next version there."""

import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from slot_machine.host.files import foldersize, mounts
from slot_machine.host.files.databases import COMPANIONS
from slot_machine.host.files.leavings import is_too_deep
from slot_machine.host.files.removal import remove_here
from slot_machine.host.user.rights import acting

MOST_FOLDERS = 20
MOST_BYTES = 1_000_000_000
"""Beyond either, the oldest ones are removed, but never the latest."""

NAMED = 5
"""So many files are named; of others, it is said how many."""

NAME_SHOWN = 200
"""Letters of a name."""


class Kept:
    def __init__(self, data: Path) -> None:
        self.root = data / "kept"

    @acting()
    def new_folder(self, slot: str) -> Path:
        """A name for one that does not exist."""
        name = f"{slot}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        taken = {path.name for path in self.root.iterdir()} if self.root.exists() else set()
        names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
        return self.root / next(free for free in names if free not in taken)

    def prune(self, latest: Path, removed: list[str]) -> None:
        """Removes the oldest ones beyond the bounds; `removed` gets their names. Blocks.

        Raises OSError in the end, for the last one that stays.
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
    """Files and folders of a tree; `moved` gets those that there were. Blocks. Raises OSError."""
    mounted = mounts.below(tree)
    for name in names:
        in_the_way = (
            point for point in mounted if (tree / name).is_relative_to(point) or point.is_relative_to(tree / name)
        )
        mounts.refuse(in_the_way, f"cannot keep {printable(name)} in {tree}")
        if is_too_deep(tree / name):
            raise OSError(errno.ENAMETOOLONG, f"{printable(name)} in {tree} is too deep")
        family = [member for member in (name, *(f"{name}{suffix}" for suffix in COMPANIONS)) if _is_in(tree, member)]
        place = _free(folder, family)
        for member in family:
            _move(tree / member, place / member)
        moved += family[:1]


def move_tree(tree: Path, folder: Path) -> None:
    """All of it. Its name is free then, and git makes a new worktree there. Blocks. Raises OSError."""
    place = _free(folder, [tree.name])
    place.mkdir(parents=True, exist_ok=True)
    tree.rename(place / tree.name)
    git_file = place / tree.name / ".git"
    if git_file.is_file() or git_file.is_symlink():  # It would lead to the new one.
        git_file.unlink()


def in_words(names: list[str]) -> str:
    shown = ", ".join(map(printable, names[:NAMED]))
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown


def printable(name: str) -> str:
    """Whatever bytes the name has, in one line of text. Of a long one, its end."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    text = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return text if len(text) <= NAME_SHOWN else f"...{text[-NAME_SHOWN:]}"


def _is_in(tree: Path, name: str) -> bool:
    return os.path.lexists(tree / name)


def _free(folder: Path, names: list[str]) -> Path:
    """The folder, or one in it: nothing that is kept is overwritten, and no link in there is followed."""
    places = (folder / str(number) if number > 1 else folder for number in itertools.count(1))
    return next(place for place in places if not any(_is_taken(place, name) for name in names))


def _is_taken(place: Path, name: str) -> bool:
    parents = (place / parent for parent in Path(name).parents)
    return _is_in(place, name) or any(_is_no_folder(parent) for parent in parents)


def _is_no_folder(path: Path) -> bool:
    return os.path.lexists(path) and (path.is_symlink() or not path.is_dir())


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
    """A folder that moves is written to, as its parent is. Raises OSError."""
    for folder in (path.parent, path):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o700)


def _copied(source: str, target: str) -> None:
    """To another file system. A socket and a FIFO hold nothing that could be kept."""
    mode = os.lstat(source).st_mode
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        shutil.copy2(source, target, follow_symlinks=False)


def _size(folder: Path) -> int:
    return sum(status.st_blocks * 512 for status in foldersize.walk(str(folder)))
