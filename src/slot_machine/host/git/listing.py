"""Lists of files in a tree, made by git."""

import os
import re
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from slot_machine.core.errors import SlotMachineError
from slot_machine.host.files import mounts

PACKAGES = ("node_modules", ".venv", "vendor/bundle")
"""Folders of installed packages. They stay in a tree, whether git ignores them or not."""

COMPILED = "__pycache__"
"""Python's cache beside the modules that it imports. It may be lost."""

QUOTED = ("-c", "core.quotePath=true")
LS = (*QUOTED, "ls-files")
OTHERS = ("--exclude-standard", f"--exclude={COMPILED}")
FOLDERS = (*OTHERS, "--directory", "--no-empty-directory")
IGNORED = ("--ignored", "--exclude-standard", "--directory")
CHANGED = (*QUOTED, "diff", "--name-only", "--no-renames", "--no-ext-diff")
SUBMODULES = ("submodule", "--quiet", "foreach", "--recursive", 'printf "%s\\n" "$displaypath"')


class Git(Protocol):
    """Returns exit code, output and errors."""

    def __call__(self, folder: Path, *args: str) -> Awaitable[tuple[int, str, str]]: ...


class CannotList(SlotMachineError):
    """Git can't list the files of this tree."""


class Listing:
    """Lists files of one tree. If git fails, a list is empty, or with `checked`, CannotList is raised."""

    def __init__(self, git: Git, tree: Path, shared: Sequence[str] = ()) -> None:
        """`shared`: paths that lead to shared data. No list has them, or what lies below them."""
        self._git = git
        self._tree = tree
        self._shared = frozenset(shared)

    async def changed(self, *options: str, checked: bool = False) -> list[str]:
        """Tracked files that differ from the commit."""
        return await self._names(*CHANGED, *options, "HEAD", checked=checked)

    async def added(self, commit: str) -> list[str]:
        """Files that `commit` has and the commit checked out does not have."""
        return await self._names(*CHANGED, "--diff-filter=A", "HEAD", commit)

    async def tracked(self) -> list[str]:
        return await self._names(*LS)

    async def tracked_below(self, path: str) -> list[str]:
        """The tracked files at or below a path. Raises CannotList."""
        return await self._names(*LS, "--", f":(literal){path}", checked=True)

    async def objects(self) -> tuple[dict[str, str], frozenset[str]]:
        """Git's digest of each file of the commit, by name, and which of them are symlinks."""
        lines = await self._names(*QUOTED, "ls-tree", "-r", "HEAD")
        entries = [line.partition("\t") for line in lines]
        digests = {unquoted(name): what.split()[2] for what, _, name in entries}
        return digests, frozenset(unquoted(name) for what, _, name in entries if what.startswith("120000"))

    async def others(self, *, checked: bool = False) -> list[str]:
        """Untracked files that git does not ignore."""
        return await self._untracked(*OTHERS, checked=checked)

    async def folders(self, *, checked: bool = False) -> list[str]:
        """Like `others`, but a folder without tracked files is one name."""
        return await self._untracked(*FOLDERS, checked=checked)

    async def ignored(self) -> list[str]:
        """Ignored files. A folder without tracked files is one name."""
        return await self._untracked(*IGNORED)

    async def ending(self, *suffixes: str) -> list[str]:
        """Untracked files whose names end with one of these."""
        return await self._untracked("--", *(f"*{suffix}" for suffix in suffixes))

    async def below(self, folders: list[str]) -> list[str]:
        """All untracked files in these folders."""
        return await self._names(*LS, "--others", "--", *(f":(literal){name}" for name in folders)) if folders else []

    async def everything(self) -> list[str]:
        """All untracked files, ignored or not. A folder without tracked files is one name. Raises CannotList."""
        return await self._untracked("--directory", checked=True)

    async def submodules(self) -> list[str]:
        """The paths of submodules that are checked out, nested ones included."""
        return await self._names(*SUBMODULES) if (self._tree / ".gitmodules").exists() else []

    async def empty_submodules(self) -> list[str]:
        """The paths of submodules that are not checked out. Git lists none of the files in there."""
        if not (self._tree / ".gitmodules").exists():
            return []
        code, out, _ = await self._git(self._tree, *LS, "--stage")
        entries = (line.partition("\t") for line in out.splitlines() if not code and line.startswith("160000 "))
        names = (unquoted(path) for _, _, path in entries)
        return [name for name in names if not os.path.lexists(self._tree / name / ".git")]

    async def _untracked(self, *args: str, checked: bool = False) -> list[str]:
        """Untracked files, without packages and mounts."""
        return await self._names(*LS, "--others", *excluded(self._tree), *args, checked=checked)

    async def _names(self, *args: str, checked: bool = False) -> list[str]:
        code, out, err = await self._git(self._tree, *args)
        if code and checked:
            raise CannotList(f"git cannot list the files in {self._tree}: {err.strip()}")
        return [] if code else self.without_shared(map(unquoted, out.splitlines()))

    def without_shared(self, names: Iterable[str]) -> list[str]:
        if not self._shared:
            return list(names)
        return [name for name in names if self._shared.isdisjoint((name, *map(str, Path(name).parents)))]


def excluded(tree: Path) -> list[str]:
    """Git options that exclude installed packages and mounts."""
    mounted = (re.sub(r"([\\*?\[ ])", r"\\\1", str(point.relative_to(tree))) for point in mounts.below(tree))
    return [*(f"--exclude={name}" for name in PACKAGES), *(f"--exclude=/{name}" for name in mounted)]


def is_packages(path: Path) -> bool:
    """Whether the path is named like a folder of installed packages."""
    return any(path.match(name) for name in PACKAGES)


def unquoted(name: str) -> str:
    """The name of a path that git printed. Git quotes unusual names like C strings (core.quotePath)."""
    if name.startswith('"'):
        name = os.fsdecode(name[1:-1].encode("ascii").decode("unicode_escape").encode("latin-1"))
    return name.rstrip("/")
