"""The files of a commit, as far as a setup's inputs are concerned."""

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Files:
    """`digests` has a digest of each file's content, by its path in the repository. `read` returns a file's text."""

    digests: Mapping[str, str]
    read: Callable[[str], str]
    links: frozenset[str] = frozenset()

    def has(self, path: str) -> bool:
        return path in self.digests

    def below(self, folder: str) -> list[str]:
        return [name for name in self.digests if name.startswith(f"{folder}/")]


@dataclass
class Found:
    """What one installing program depends on.

    `doubts` say why it must run though none of these changed. `installed` is the folder that it installs into.
    """

    installed: str
    inputs: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def add(self, files: Files, folder: str, names: Iterable[str]) -> list[str]:
        """Adds those that exist in the folder, and returns them. A symlink is a doubt: its target may change."""
        paths = [posixpath.join(folder, name) for name in names]
        found = [path for path in paths if files.has(path) or files.below(path)]
        self.inputs += found
        self.doubts += [f"{path} is a symlink" for path in found if path in files.links]
        return found


def upwards(folder: str) -> list[str]:
    """The folder and its parents, up to the repository's top folder, which is the empty text."""
    found = [folder]
    while folder:
        folder = posixpath.dirname(folder)
        found.append(folder)
    return found
