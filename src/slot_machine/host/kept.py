"""The folder `kept`: what the app wrote into its own tree, out of the way of the next version there."""

import errno
import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from slot_machine.host import foldersize
from slot_machine.host.leavings import COMPANIONS, is_too_deep
from slot_machine.host.removal import remove_here

MOST_FOLDERS = 20
MOST_BYTES = 1_000_000_000
"""Beyond either, the oldest ones are removed, but never the latest."""

NAMED = 5
"""So many files are named; of others, it is said how many."""


NAME_SHOWN = 100
"""Letters of a name that is too long."""


class Kept:
    def __init__(self, data: Path) -> None:
        self.root = data / "kept"

    def new_folder(self, slot: str) -> Path:
        """A name for one that does not exist."""
        name = f"{slot}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        taken = {path.name for path in self.root.iterdir()} if self.root.exists() else set()
        names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
        return self.root / next(free for free in names if free not in taken)

    def prune(self) -> list[str]:
        """Removes the oldest ones beyond the bounds; returns their names. Blocks. Raises OSError."""
        *older, latest = sorted(self.root.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        left = MOST_BYTES - _size(latest)
        removed = []
        for number, folder in enumerate(reversed(older), start=2):
            left -= _size(folder)
            if number > MOST_FOLDERS or left < 0:
                remove_here(folder)
                removed.append(folder.name)
        return removed


def move(tree: Path, names: Iterable[str], folder: Path, moved: list[str]) -> None:
    """Files and folders of a tree; `moved` gets those that there were. Blocks. Raises OSError."""
    for name in names:
        if is_too_deep(tree / name):
            raise OSError(errno.ENAMETOOLONG, f"{printable(name)[:NAME_SHOWN]}... in {tree} is too deep")
        if _move(tree / name, folder / name):
            moved.append(name)
            for suffix in COMPANIONS:
                _move(tree / f"{name}{suffix}", folder / f"{name}{suffix}")


def in_words(names: list[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown


def printable(name: str) -> str:
    """Whatever bytes the name has, in one line of text."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _move(source: Path, target: Path) -> bool:
    if not os.path.lexists(source):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.move(source, target)
    except PermissionError:
        source.parent.chmod(0o700)
        shutil.move(source, target)
    return True


def _size(folder: Path) -> int:
    return sum(status.st_blocks * 512 for status in foldersize.walk(str(folder)))
