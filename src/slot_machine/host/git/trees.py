"""Trees, the folders that the slots `slot-a` and `slot-b` link to. In early releases the slots were folders."""

import logging
import os
import re
from pathlib import Path

from slot_machine.core.model import SLOTS, Slot, State
from slot_machine.host.files import links
from slot_machine.host.git import gitdir
from slot_machine.host.user import rights

TREE_OF_SLOT: dict[Slot, int] = {"a": 1, "b": 2}
"""Which tree the folder of a slot becomes when it is converted."""

LIVE_FILE = "live-slot"
"""In the data folder. It has the name of the live slot, and is empty if nothing is live."""

log = logging.getLogger(__name__)


def name(tree: int) -> str:
    """The name of a tree's folder. It lies beside the slots, so that `..` in the app means the same as ever."""
    return f"tree-{tree}"


def slot_name(slot: str) -> str:
    return f"slot-{slot}"


def of_slot(data: Path, slot: Slot) -> int:
    """The tree that the slot links to. 0 if there is none."""
    link = data / slot_name(slot)
    found = re.fullmatch(r"tree-(\d)", os.readlink(link)) if link.is_symlink() else None
    return int(found[1]) if found else 0


def link_slots(data: Path, state: State) -> None:
    """Raises OSError."""
    trees = {version.slot: version.tree for version in (state.live, state.previous) if version}
    for slot in SLOTS:
        links.point(data / slot_name(slot), name(trees[slot]) if slot in trees else None)


def tell_live(data: Path, state: State) -> None:
    """Writes the live slot into the file that a version can ask whether it is live. Raises OSError."""
    file, text = data / LIVE_FILE, f"{state.live.slot}\n" if state.live else ""
    if not file.is_symlink() and file.is_file() and file.read_text() == text:
        return
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.rename(file)


def adopt_slots(data: Path) -> None:
    """Converts slots that are folders to trees and links. An app that runs in one does not notice.

    If the daemon is killed in between, the next start completes it. Raises OSError.
    """
    for slot, tree in TREE_OF_SLOT.items():
        folder, place = data / slot_name(slot), data / name(tree)
        if folder.is_dir() and not of_slot(data, slot) and (place.is_symlink() or not place.exists()):
            links.point(place, place.name)
            try:
                _exchange(folder, place)
            except OSError as error:  # For instance, if the slot is a mount point.
                log.error("cannot make %s a link: %s", folder, error)
                links.point(place, folder.name)


def made_as_slot(tree: Path) -> bool:
    """Whether it was set up as a slot. Installed packages may, and submodules do, contain that path."""
    registration = gitdir.named_by(tree / ".git")
    return registration is not None and registration.name.startswith("slot-")


@rights.acting()
def register(tree: Path, registration: Path) -> None:
    """Tells git the new path of the worktree. Raises OSError."""
    pointer = registration / "gitdir"
    if pointer.read_text().strip() != str(tree / ".git"):
        fresh = pointer.with_name("gitdir.new")
        fresh.write_text(f"{tree / '.git'}\n")
        fresh.chmod(0o666 & ~rights.umask())
        fresh.rename(pointer)


def make(tree: Path) -> None:
    """With `user`, makes the empty folder, because that user can't make one in the data folder. Raises OSError."""
    if rights.other():
        rights.make_theirs(tree, 0o777 & ~rights.umask())


def _exchange(folder: Path, link: Path) -> None:
    """Swaps their names. Where that can't be one step, the folder has no name for a moment. Raises OSError."""
    if not links.exchanged(folder, link):
        link.unlink()
        folder.rename(link)
        links.point(folder, link.name)
