"""The trees: git worktrees, detached."""

import codecs
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from slot_machine.core.errors import CommitNotFound, GitFailed
from slot_machine.host import commands, proc, trees
from slot_machine.host.capacity import Size, free, measure, megabytes
from slot_machine.host.containment import owner
from slot_machine.host.environment import inherited
from slot_machine.host.leavings import PACKAGES

LOCKS = ("index.lock", "HEAD.lock")

QUIET = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=0",
    "-c",
    "advice.detachedHead=false",
)
"""The user's hooks are not for the slots, and no clean-up of git's may run into a deploy."""


Protected = Literal["next", "previous"]
"""Refs in `refs/slot-machine/`: what is being prepared, and where a rollback goes to."""


CANNOT_WRITE = re.compile("unable to write|No space left")


class Clearing(Protocol):
    """Takes what a checkout of a tree would destroy out of its way, before each step that does."""

    async def before(self, commit: str) -> None: ...
    async def after(self) -> None: ...
    async def everything(self) -> None: ...


class Worktrees:
    def __init__(self, repo: Path, data: Path) -> None:
        self._repo = repo
        self.data = data

    def path(self, tree: int) -> Path:
        return self.data / trees.name(tree)

    async def measure(self, tree: int) -> Size | None:
        return await measure(self.path(tree), owner(self.data))

    async def resolve(self, commitish: str) -> str:
        """The full hash of one commit. An option, a range or an exclusion is none. Raises CommitNotFound."""
        commit = ""
        if re.fullmatch(r"[^-^\0\n][^\0\n]*", commitish):
            argv = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commitish}^{{commit}}")
            _, commit, _ = await self.try_git(self._repo, *argv)
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit.strip()):
            raise CommitNotFound(
                f"{commitish!r} is not a commit in {self._repo}",
                "commit it first, or fetch it into that repository, then deploy again",
            )
        return commit.strip()

    async def check_repository(self) -> None:
        """Raises GitFailed."""
        await self._git(self._repo, "rev-parse", "--git-dir")

    async def adopt_slots(self) -> None:
        """Makes trees of slots that are folders, as an earlier slot-machine left them. Raises OSError."""
        trees.adopt_slots(self.data)
        for tree in trees.TREE_OF_SLOT.values():
            path = self.path(tree)
            registration = trees.registration_of(path)
            if registration and trees.made_as_slot(path) and await self._is_worktree(path):
                trees.register(path, registration)

    async def checkout(self, tree: int, commit: str, clearing: Clearing | None = None) -> None:
        """Makes the tree that commit, plus what git ignores and installed packages. Raises GitFailed.

        One that was made as a slot begins anew: its packages may contain paths that lead to another tree by now.
        """
        path = self.path(tree)
        if trees.made_as_slot(path) or not await self._is_worktree(path):
            await self._add(path, commit, clearing)
        else:
            _clear_stale_locks(path)
            if clearing:
                await clearing.before(commit)
            if (await self.try_git(path, "checkout", "--quiet", "--force", "--detach", commit))[0]:
                # An ignored folder can stand where the commit has a file; git then refuses, so the slot begins anew.
                await self._add(path, commit, clearing)
        if clearing:
            await clearing.after()
        await self._git(path, "clean", "-ffdq", *(f"--exclude={name}" for name in PACKAGES))
        if (path / ".gitmodules").exists():
            await self._update_submodules(path)

    async def protect(self, role: Protected, commit: str) -> None:
        """Keeps a commit from `git gc` though no branch and no slot may hold it, or hold it yet. Raises GitFailed."""
        await self._git(self._repo, "update-ref", f"refs/slot-machine/{role}", commit)

    async def fingerprint(self, tree: int) -> str | None:
        """A digest of how tracked files differ from the checked-out commit.

        Empty where they don't, None where there is no worktree.
        """
        digest, text = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")("replace")
        changed = False

        def add(piece: bytes) -> None:
            nonlocal changed
            changed = True
            digest.update(text.decode(piece).encode())

        argv = ("diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv")
        code, _, _ = await self.try_git(self.path(tree), *argv, on_output=add)
        if code:
            return None
        digest.update(text.decode(b"", final=True).encode())
        return digest.hexdigest() if changed else ""

    async def head(self, tree: int) -> str:
        """The commit that is checked out, empty where there is none."""
        path = self.path(tree)
        return (await self._git(path, "rev-parse", "HEAD")).strip() if await self._is_worktree(path) else ""

    async def _is_worktree(self, path: Path) -> bool:
        """Whether the folder is a worktree of this repository, not merely inside of one."""
        if not (path / ".git").is_file():
            return False
        argv = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir")
        code, out, _ = await self.try_git(path, *argv)
        _, common, _ = await self.try_git(self._repo, "rev-parse", "--path-format=absolute", "--git-common-dir")
        return code == 0 and out.splitlines() == [str(path.resolve()), common.strip()]

    async def _add(self, path: Path, commit: str, clearing: Clearing | None) -> None:
        if clearing:
            await clearing.everything()
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
        await self._git(self._repo, "worktree", "prune")
        await self._git(self._repo, "worktree", "add", "--quiet", "--force", "--force", "--detach", str(path), commit)

    async def _update_submodules(self, path: Path) -> None:
        await self._git(path, "submodule", "--quiet", "sync", "--recursive")
        await self._git(path, "submodule", "--quiet", "update", "--init", "--recursive", "--force")
        clean = " ".join(["git clean -ffdq", *(f"--exclude={name}" for name in PACKAGES)])
        await self._git(path, "submodule", "--quiet", "foreach", "--recursive", clean)

    async def _git(self, folder: Path, *args: str) -> str:
        code, out, err = await self.try_git(folder, *args)
        if code:
            message = f"git {args[0]} failed: {err.strip() or out.strip() or f'exit code {code}'}"
            raise GitFailed(message, self._room() if CANNOT_WRITE.search(err) else "")
        return out

    def _room(self) -> str:
        return f"{megabytes(free(self.data).bytes)} are free on the file system of {self.data}, which may be too little"

    async def try_git(
        self, folder: Path, *args: str, on_output: Callable[[bytes], None] | None = None
    ) -> tuple[int, str, str]:
        if not folder.is_dir():
            return 128, "", f"{folder} is not a folder"
        env = inherited() | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        try:
            return await commands.run(["git", *QUIET, *args], folder, env, owner(self.data), on_output)
        except FileNotFoundError:
            raise GitFailed("git is not installed", "install git") from None


def _clear_stale_locks(path: Path) -> None:
    """A git that was killed leaves them, and every later one refuses to begin (gitrepository-layout(5))."""
    folder = Path((path / ".git").read_text().removeprefix("gitdir:").strip())
    for name in LOCKS:
        lock = folder / name
        if lock.exists() and proc.holder({str(lock)}) is None:
            lock.unlink(missing_ok=True)
