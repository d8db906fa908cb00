"""Names of files in a tree, as git lists them."""

import os
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol

from slot_machine.core.errors import SlotMachineError
from slot_machine.host.files import mounts

PACKAGES = ("node_modules", ".venv", "vendor/bundle")
"""Installed packages: they stay in a tree whether git ignores them or not."""

COMPILED = "__pycache__"
"""Python writes it beside what it imports: nobody misses it."""

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
    """Git can't, in this tree."""


class Listing:
    """Of one tree. Nothing, where git can't list it; what was asked for with `checked` raises CannotList."""

    def __init__(self, git: Git, tree: Path) -> None:
        self._git = git
        self._tree = tree

    async def changed(self, *options: str, checked: bool = False) -> list[str]:
        """Files of the commit that differ from it."""
        return await self._names(*CHANGED, *options, "HEAD", checked=checked)

    async def added(self, commit: str) -> list[str]:
        """Files that this commit has and the one that is checked out has not."""
        return await self._names(*CHANGED, "--diff-filter=A", "HEAD", commit)

    async def tracked(self) -> list[str]:
        return await self._names(*LS)

    async def others(self, *, checked: bool = False) -> list[str]:
        """What is in no commit, and git does not ignore."""
        return await self._untracked(*OTHERS, checked=checked)

    async def folders(self, *, checked: bool = False) -> list[str]:
        """As `others`, but a folder in which nothing is tracked is one name."""
        return await self._untracked(*FOLDERS, checked=checked)

    async def ignored(self) -> list[str]:
        """A folder in which nothing is tracked is one name. Packages and mounts count."""
        return await self._untracked(*IGNORED)

    async def ending(self, *suffixes: str) -> list[str]:
        """What is in no commit, and ends so."""
        return await self._untracked("--", *(f"*{suffix}" for suffix in suffixes))

    async def below(self, folders: list[str]) -> list[str]:
        """All that is in no commit and in one of these."""
        return await self._names(*LS, "--others", "--", *(f":(literal){name}" for name in folders)) if folders else []

    async def everything(self) -> list[str]:
        """All that is in no commit, ignored or not. Raises CannotList."""
        return await self._untracked("--directory", checked=True)

    async def submodules(self) -> list[str]:
        """Those that are checked out, with the nested ones."""
        return await self._names(*SUBMODULES) if (self._tree / ".gitmodules").exists() else []

    async def empty_submodules(self) -> list[str]:
        """Those that are not: git takes what lies there for the submodule's and names none of it."""
        if not (self._tree / ".gitmodules").exists():
            return []
        code, out, _ = await self._git(self._tree, *LS, "--stage")
        entries = (line.partition("\t") for line in out.splitlines() if not code and line.startswith("160000 "))
        names = (unquoted(path) for _, _, path in entries)
        return [name for name in names if not os.path.lexists(self._tree / name / ".git")]

    async def _untracked(self, *args: str, checked: bool = False) -> list[str]:
        """But packages and mounts."""
        return await self._names(*LS, "--others", *excluded(self._tree), *args, checked=checked)

    async def _names(self, *args: str, checked: bool = False) -> list[str]:
        code, out, err = await self._git(self._tree, *args)
        if code and checked:
            raise CannotList(f"git cannot list the files in {self._tree}: {err.strip()}")
        return [] if code else [unquoted(line) for line in out.splitlines()]


def excluded(tree: Path) -> list[str]:
    """What git is asked to leave, whether it ignores that or not: installed packages, and what is mounted."""
    mounted = (re.sub(r"([\\*?\[ ])", r"\\\1", str(point.relative_to(tree))) for point in mounts.below(tree))
    return [*(f"--exclude={name}" for name in PACKAGES), *(f"--exclude=/{name}" for name in mounted)]


def unquoted(name: str) -> str:
    """A name as git prints it, in C's way if it is unusual."""
    if name.startswith('"'):
        name = os.fsdecode(name[1:-1].encode("ascii").decode("unicode_escape").encode("latin-1"))
    return name.rstrip("/")
