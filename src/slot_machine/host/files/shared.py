"""The folder `shared`: the app's data, with a symlink to each part in every tree. Nothing in it is ever removed.

All functions block, raise OSError, and follow no symlink inside of a tree.
"""

import errno
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from slot_machine.core.shared_paths import SharedPath
from slot_machine.host.files import links, mounts
from slot_machine.host.files.databases import COMPANIONS, begins_as_one, database_of
from slot_machine.host.process import proc
from slot_machine.host.user import rights

Found = Literal["link", "nothing", "other"]

IN_WORDS: dict[Found, str] = {"link": "linked", "nothing": "missing", "other": "replaced"}
"""In the status."""


class Shared:
    """`data` is the data folder."""

    def __init__(self, data: Path) -> None:
        self.root = data / "shared"

    def make(self) -> None:
        """Makes the folder, as `user`'s. Not inside of `rights.acting`."""
        if not self.root.exists():
            rights.make_theirs(self.root, 0o777 & ~rights.umask())

    def target(self, path: SharedPath) -> Path:
        return self.root / path.name

    def has(self, path: SharedPath) -> bool:
        """Whether there is data. A symlink to itself is what a killed daemon leaves in place of it."""
        target = self.target(path)
        return os.path.lexists(target) and not _leads_to_itself(target)

    def give_way(self, path: SharedPath, own: Path) -> None:
        """Removes an empty folder, as a failed deploy leaves one, where the live version's `own` one has data."""
        target = self.target(path)
        is_empty = target.is_dir() and not target.is_symlink() and not has_content(target)
        if path.is_folder and is_empty and own.is_dir() and has_content(own) and not mounts.at_or_below(target):
            target.rmdir()

    def make_folder(self, path: SharedPath) -> None:
        target = self.target(path)
        if not self.has(path):
            target.unlink(missing_ok=True)
        rights.make_folder(target)

    def check_kind(self, path: SharedPath, place: Path) -> None:
        """Raises NotADirectoryError, IsADirectoryError if a file is where a folder is expected, or the reverse."""
        if path.is_folder and not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder, but shared_dirs names it", str(place))
        if not path.is_folder and place.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder, but shared_files names it", str(place))


def found(tree: Path, path: SharedPath) -> Found:
    """What a tree has at a place."""
    place = tree / path.place
    if _blocked(tree, path.place) or not os.path.lexists(place):
        return "nothing"
    if place.is_symlink() and _is_ours(os.readlink(place), path):
        return "link"
    return "other"


def link(tree: Path, path: SharedPath, target: Path) -> None:
    """Makes or corrects the symlink of a tree, with its parents. Replaces nothing else."""
    check_place(tree, path, ())
    place = tree / path.place
    if found(tree, path) == "link":
        links.point(place, str(target))
        return
    rights.make_folder(place.parent)
    place.symlink_to(target)


def unlink(tree: Path, path: SharedPath) -> None:
    """Removes the symlink of a tree. Leaves anything else that is there."""
    if found(tree, path) == "link":
        (tree / path.place).unlink()


def hand_over(tree: Path, path: SharedPath, shared: Shared) -> None:
    """Moves what a tree has at a place to `shared`, and leaves the link, in one step: no process ever finds neither.

    If the daemon is killed before that step, a symlink that leads to itself remains in `shared`.
    """
    place, target = tree / path.place, shared.target(path)
    check_movable(tree, path)
    shared.check_kind(path, place)
    rights.make_folder(target.parent)
    links.point(target, str(target))
    try:
        if not links.exchanged(place, target):
            raise OSError(errno.EOPNOTSUPP, "the file system can't exchange two names in one step", str(place))
    except OSError:
        target.unlink()
        raise


def take_back(tree: Path, path: SharedPath, shared: Shared) -> None:
    """Undoes `hand_over`."""
    links.exchanged(tree / path.place, shared.target(path))
    shared.target(path).unlink()


def check_place(tree: Path, path: SharedPath, tracked: Iterable[str]) -> None:
    """Refuses a place below a file or a symlink, and a submodule. `tracked`: the commit's files there."""
    if parent := _blocked(tree, path.place):
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder, so no link can be made below it", str(parent))
    parents = [tree / parent for parent in Path(path.place).parents[:-1]]
    modules = [folder for folder in (*parents, *(tree / name for name in tracked)) if _is_module(folder)]
    if modules:
        raise OSError(errno.EINVAL, "a submodule can't be shared", str(modules[0]))


def check_movable(tree: Path, path: SharedPath) -> None:
    """Refuses a mount, and a symlink that somebody else made."""
    place = tree / path.place
    mounted = (point for point in mounts.below(tree) if point.is_relative_to(place) or place.is_relative_to(point))
    mounts.refuse(mounted, f"cannot move {path.place} from {tree}")
    if place.is_symlink():
        raise OSError(
            errno.EINVAL,
            f"it is a symlink to {os.readlink(place)} already: remove what makes it, or name it no more",
            str(place),
        )


def replaced(tree: Path, paths: Iterable[SharedPath]) -> list[str]:
    """The places where something else lies than the link."""
    return [path.place for path in paths if found(tree, path) == "other"]


@rights.acting()
def in_words(tree: Path, paths: Iterable[SharedPath]) -> dict[str, str]:
    """For the status: what the tree has, by place."""
    return {path.place: IN_WORDS[found(tree, path)] for path in paths}


def companions(tree: Path, paths: Iterable[SharedPath]) -> list[str]:
    """Files of databases that lie beside a link."""
    names = (f"{path.place}{suffix}" for path in paths if found(tree, path) == "link" for suffix in COMPANIONS)
    return [name for name in names if os.path.lexists(tree / name)]


def unlink_all(tree: Path, paths: Iterable[SharedPath]) -> None:
    for path in paths:
        unlink(tree, path)


def has_content(place: Path) -> bool:
    return os.path.lexists(place) and not (place.is_dir() and not place.is_symlink() and not os.listdir(place))


def open_databases(place: Path) -> Iterator[tuple[int, str]]:
    """The SQLite databases at or below a place that a process has open, each with the process."""
    real = os.path.realpath(place)
    names = itertools.chain(*(proc.open_at_or_below(f"{real}{suffix}") for suffix in ("", *COMPANIONS)))
    for pid, name in names:
        database = database_of(name)
        if os.path.isfile(database) and (begins_as_one(database) or (database == real and not os.path.getsize(real))):
            yield pid, database


def is_database(place: Path) -> bool:
    """Whether it is a SQLite database, or an empty file, which may become one."""
    return place.is_file() and (place.stat().st_size == 0 or begins_as_one(str(place)))


def _is_module(folder: Path) -> bool:
    return not folder.is_symlink() and folder.is_dir() and os.path.lexists(folder / ".git")


def _blocked(tree: Path, place: str) -> Path | None:
    """The first parent of a place that is a symlink, or no folder."""
    parents = [tree / parent for parent in reversed(Path(place).parents[:-1])]
    return next((path for path in parents if os.path.lexists(path) and (path.is_symlink() or not path.is_dir())), None)


def _leads_to_itself(link: Path) -> bool:
    return link.is_symlink() and os.readlink(link) == str(link)


def _is_ours(target: str, path: SharedPath) -> bool:
    """Whether a symlink leads to `shared`, even of a data folder that was moved, or meanwhile to another tree."""
    return target.endswith(f"/shared/{path.name}") or bool(re.search(rf"/tree-\d/{re.escape(path.place)}\Z", target))
