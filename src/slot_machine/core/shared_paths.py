"""The paths of `shared_dirs` and `shared_files`."""

import posixpath
from collections.abc import Iterable

import msgspec

from slot_machine.core.version_config import VersionConfig


class SharedPath(msgspec.Struct, frozen=True):
    """A path of the app's data. `place` is relative to a tree, where a symlink lies; `name` to the folder `shared`."""

    place: str
    name: str
    is_folder: bool


def of(config: VersionConfig) -> list[SharedPath]:
    """The name does not contain `root`: an app that moves inside of its repository finds its data."""
    paths = [(path, True) for path in config.shared_dirs] + [(path, False) for path in config.shared_files]
    return [
        SharedPath(posixpath.normpath(posixpath.join(config.root, path)), posixpath.normpath(path), is_folder)
        for path, is_folder in paths
    ]


def with_former(paths: list[SharedPath], former: Iterable[SharedPath]) -> list[SharedPath]:
    """Both, without former ones that lie below another one, or above it."""
    return [*paths, *(path for path in former if not any(_overlap(path.place, other.place) for other in paths))]


def _overlap(one: str, other: str) -> bool:
    parts, others = one.split("/"), other.split("/")
    return all(part == another for part, another in zip(parts, others, strict=False))
