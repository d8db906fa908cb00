"""The trees: the folders that the slots are links to. A data folder of before has the slots' folders themselves."""

import ctypes
import errno
import logging
import os
import re
from pathlib import Path

from slot_machine.core.model import SLOTS, Slot, State
from slot_machine.host.files import links
from slot_machine.host.git import gitdir
from slot_machine.host.user import rights

TREE_OF_SLOT: dict[Slot, int] = {"a": 1, "b": 2}
"""Which tree the folder of a slot becomes."""

AT_FDCWD = -100
RENAME_EXCHANGE = 2

log = logging.getLogger(__name__)


def name(tree: int) -> str:
    """Not in a folder of their own, so that `..` leads from a tree to where it always led from a slot."""
    return f"tree-{tree}"


def slot_name(slot: str) -> str:
    return f"slot-{slot}"


def of_slot(data: Path, slot: Slot) -> int:
    """The tree that the slot's link leads to; 0 for none."""
    link = data / slot_name(slot)
    found = re.fullmatch(r"tree-(\d)", os.readlink(link)) if link.is_symlink() else None
    return int(found[1]) if found else 0


def link_slots(data: Path, state: State) -> None:
    """Raises OSError."""
    trees = {version.slot: version.tree for version in (state.live, state.previous) if version}
    for slot in SLOTS:
        links.point(data / slot_name(slot), name(trees[slot]) if slot in trees else None)


def adopt_slots(data: Path) -> None:
    """Makes trees of slots that are folders. The app that runs in one does not notice.

    Killed at any step, it is done by the next start. Raises OSError.
    """
    for slot, tree in TREE_OF_SLOT.items():
        folder, place = data / slot_name(slot), data / name(tree)
        if folder.is_dir() and not of_slot(data, slot) and (place.is_symlink() or not place.exists()):
            links.point(place, place.name)
            try:
                _exchange(folder, place)
            except OSError as error:  # A slot may be the root of a file system.
                log.error("cannot make %s a link: %s", folder, error)
                links.point(place, folder.name)


def made_as_slot(tree: Path) -> bool:
    """Whether it was set up under a slot's name, which what is installed in it may contain, and git's submodules do."""
    registration = gitdir.named_by(tree / ".git")
    return registration is not None and registration.name.startswith("slot-")


@rights.acting()
def register(tree: Path, registration: Path) -> None:
    """Tells git where the worktree is now. Raises OSError."""
    pointer = registration / "gitdir"
    if pointer.read_text().strip() != str(tree / ".git"):
        fresh = pointer.with_name("gitdir.new")
        fresh.write_text(f"{tree / '.git'}\n")
        fresh.chmod(0o666 & ~rights.umask())
        fresh.rename(pointer)


def make(tree: Path) -> None:
    """An empty one of the user's, who can't make it in the daemon's folder. Raises OSError."""
    if rights.other():
        rights.make_theirs(tree, 0o777 & ~rights.umask())


def _exchange(folder: Path, link: Path) -> None:
    """Each gets the other's name; for a moment the folder has none where that can't be one step. Raises OSError."""
    if not _exchanged(folder, link):
        link.unlink()
        folder.rename(link)
        links.point(folder, link.name)


def _exchanged(one: Path, other: Path) -> bool:
    """In one step, renameat2(2); False where the file system has none. Raises OSError."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    paths = os.fsencode(one), os.fsencode(other)
    if renameat2 and renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0:
        return True
    if renameat2 and ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(one))
    return False
