"""The folder `assets`: what earlier live versions served under names with a digest.

It has a folder for each version that was live. The files in there are copies that nobody may write to: a version that
writes into a file of its own changes no other one. Trees get hard links to the copies.

All of it blocks, and is called with the rights of `user` (`rights.acting`). No symlink and no mount is entered.
"""

import errno
import filecmp
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from slot_machine.core.digested import is_digested
from slot_machine.core.model import TREES
from slot_machine.host.files import mounts
from slot_machine.host.user import rights

NUMBERED = re.compile(r"(\d+)-(.+)")
CANNOT_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP)
WRITE_BITS = 0o222

State = tuple[int, int]
"""Size in bytes, and time of the last change in ns."""

Links = dict[bytes, State]
"""The files that a tree has of other versions, by name in the tree."""


class Pool:
    """Versions are called by their commits. The higher its number, the later a version was live."""

    def __init__(self, data: Path) -> None:
        self.root = data / "assets"

    def collect(self, version: str, folder: Path, dirs: Iterable[str], foreign: Mapping[str, State]) -> None:
        """Copies what the live version has of its own, and makes it the latest one. Raises OSError.

        `foreign` has what `folder` has of other versions, by name in `folder`.
        """
        names = [name for name in found(folder, dirs) if state(folder / name) != foreign.get(name)]
        others = self._others(version)
        place = self._latest(version)
        for name in names:
            if state(place / name) != state(folder / name):
                _copy(folder / name, place / name, [other / name for other in others])

    def wanted(self, version: str, dirs: Iterable[str], most: int) -> dict[str, Path]:
        """The assets of the `most` other versions that were live last. Of the same name, the latest one counts."""
        dirs = tuple(dirs)
        places = self._others(version)[:most] + [place for name, place in self._versions() if name == version]
        return {name: place / name for place in reversed(places) for name in found(place, dirs)}

    def prune(self, version: str, most: int) -> None:
        """Removes what is not wanted any more while `version` is live. Raises OSError.

        Enough stays that `forget` knows what an earlier version has left in its tree.
        """
        most = most and max(most, len(TREES))
        for place in self._others(version)[most:]:
            shutil.rmtree(place)

    def forget(self, folder: Path, dirs: Iterable[str], built: Mapping[str, State]) -> None:
        """Removes files of an earlier build of which there is a copy. Raises OSError.

        `built` has what setup and build made in `folder`: other files may be uploads, whose only other copy does not
        stay for long.
        """
        places = [place for _, place in self._versions()]
        for name in [name for name in found(folder, dirs) if state(folder / name) == built.get(name)]:
            if _twin(folder / name, (place / name for place in places)):
                (folder / name).unlink()

    def _others(self, version: str) -> list[Path]:
        return [place for name, place in self._versions() if name != version]

    def _versions(self) -> list[tuple[str, Path]]:
        """The latest first."""
        names = os.listdir(self.root) if self.root.is_dir() else []
        matches = sorted(filter(None, map(NUMBERED.fullmatch, names)), key=lambda match: -int(match[1]))
        return [(match[2], self.root / match[0]) for match in matches]

    def _latest(self, version: str) -> Path:
        """The folder of the version, which has the highest number from now on."""
        versions = self._versions()
        if versions and versions[0][0] == version:
            return versions[0][1]
        number = int(versions[0][1].name.partition("-")[0]) + 1 if versions else 1
        place = self.root / f"{number}-{version}"
        before = next((path for name, path in versions if name == version), None)
        if before:
            before.rename(place)
        else:
            place.mkdir(mode=0o700, parents=True)
        return place


def found(folder: Path, dirs: Iterable[str]) -> Iterator[str]:
    """The names, in `folder`, of files with a digest in their names."""
    mounted = mounts.below(folder)
    for top in (folder / name for name in dirs):
        if not _leads_through_folders(folder, top) or any(top.is_relative_to(point) for point in mounted):
            continue
        for path, folders, names in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".") and Path(path, name) not in mounted]
            for file in (Path(path, name) for name in names):
                if is_digested(str(file.relative_to(top))) and state(file):
                    yield str(file.relative_to(folder))


def state(path: Path) -> State | None:
    """None unless it is a regular file."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def planned(tree: Path, folder: Path, wanted: Mapping[str, Path], present: Links) -> tuple[Links, dict[Path, Path]]:
    """What the tree is to have of other versions, and the sources of those files that it lacks, by path.

    `present` is what it has of them so far. Its own files are left alone.
    """
    links: Links = {}
    lacking: dict[Path, Path] = {}
    for target, source in ((folder / name, source) for name, source in wanted.items()):
        name, its = os.fsencode(target.relative_to(tree)), state(source)
        if its is None or not _leads_through_folders(tree, target.parent):
            continue
        is_ours = name in present and state(target) == present[name]
        if is_ours or not os.path.lexists(target):
            links[name] = its
        if name in links and not (is_ours and present[name] == its):
            lacking[target] = source
    return links, lacking


def remove(tree: Path, links: Links, but: Links) -> None:
    """Removes those of the links that are not among `but`, unless they were replaced. Raises OSError."""
    for name, its in links.items():
        path = tree / os.fsdecode(name)
        if but.get(name) != its and _leads_through_folders(tree, path.parent) and state(path) == its:
            path.unlink()


def remove_empty_folders(tree: Path, links: Links) -> None:
    """Removes the folders that are empty without the links."""
    for name in links:
        for parent in (tree / os.fsdecode(name)).relative_to(tree).parents[:-1]:
            with suppress(OSError):
                (tree / parent).rmdir()


def link(lacking: Mapping[Path, Path]) -> None:
    """Makes hard links to the sources, or copies where that is impossible. Raises OSError."""
    for target, source in lacking.items():
        rights.make_folder(target.parent)
        try:
            target.hardlink_to(source)
        except OSError as error:
            if error.errno not in CANNOT_LINK:
                raise
            _copy(source, target, [])


def _copy(source: Path, target: Path, twins: Iterable[Path]) -> None:
    """Nobody may write to the copy. It is a link to one of the `twins` if that has the same bytes. Raises OSError."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        if twin := _twin(source, twins):
            fresh.hardlink_to(twin)
        else:
            shutil.copyfile(source, fresh, follow_symlinks=False)
            status = source.stat()
            os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
            fresh.chmod(stat.S_IMODE(status.st_mode) & ~WRITE_BITS)
        fresh.replace(target)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _twin(file: Path, others: Iterable[Path]) -> Path | None:
    """The first of the others that has the same bytes."""
    return next((other for other in others if state(other) and filecmp.cmp(file, other, shallow=False)), None)


def _leads_through_folders(top: Path, path: Path) -> bool:
    """Whether `path`, and each folder between `top` and it, is a folder or missing."""
    between = (top / parent for parent in (path.relative_to(top), *path.relative_to(top).parents))
    return all(not os.path.lexists(each) or stat.S_ISDIR(each.lstat().st_mode) for each in between)
