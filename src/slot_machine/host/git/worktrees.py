"""The trees as git worktrees: what is checked out where."""

import codecs
import errno
import hashlib
import re
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from slot_machine.core.errors import CommitNotFound, GitFailed
from slot_machine.core.origin import Description
from slot_machine.host.files.capacity import Size, measure
from slot_machine.host.files.removal import remove_tree
from slot_machine.host.git import contents, gitdir, lfs, trees
from slot_machine.host.git.git import LIMIT_S, NOT_THE_SLOTS_FAULT, Git
from slot_machine.host.git.listing import CannotList, excluded
from slot_machine.host.git.submodules import Submodule, Submodules
from slot_machine.host.process.containment import owner
from slot_machine.host.process.environment import of_commands
from slot_machine.host.process.threads import in_thread
from slot_machine.host.user import access, rights

OWN_REFS = "refs/slot-machine"

MOST_NAMES = 500
"""In one call of git."""

Protected = Literal["next", "previous"]
"""Refs in `refs/slot-machine/`: the commit that is being prepared, and the target of a rollback."""


class Clearing(Protocol):
    """Keeps files that a checkout would destroy. Called before each step that destroys some."""

    async def before_checkout(self, commit: str) -> None: ...
    async def before_clean(self) -> None: ...
    async def before_removal(self) -> None: ...


class Worktrees:
    def __init__(self, repo: Path, data: Path, git_limit_s: float = LIMIT_S) -> None:
        self._repo = repo
        self.data = data
        self._git = Git(data, git_limit_s)
        self._common_dir: Path | None = None
        self._submodules = Submodules(self._git, owner(data))

    def path(self, tree: int) -> Path:
        return self.data / trees.name(tree)

    async def measure(self, tree: int) -> Size | None:
        return await measure(self.path(tree), owner(self.data))

    async def resolve(self, commitish: str) -> str:
        """The full hash of a commit. Takes no option, range or exclusion. Raises CommitNotFound, GitFailed."""
        commit = ""
        if re.fullmatch(r"[^-^\0\n][^\0\n]*", commitish):
            argv = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commitish}^{{commit}}")
            _, commit, _ = await self._git.attempt(self._repo, *argv)
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit.strip()):
            await self.check_repository()
            raise CommitNotFound(
                f"{commitish!r} is not a commit in {self._repo}",
                "commit it first, or fetch it into that repository, then deploy again",
            )
        return commit.strip()

    async def describe(self, commit: str) -> Description:
        """Raises GitFailed."""
        return await contents.describe(self._git, self._repo, commit)

    async def file_at(self, commit: str, path: str) -> bytes | None:
        """`contents.file_at`. Raises GitFailed."""
        return await contents.file_at(self._git, self._repo, commit, path)

    async def path_in_repository(self, file: Path) -> str:
        """Of a file, from the repository's top; empty if it lies outside. Raises GitFailed."""
        return await contents.path_in_repository(self._git, self._repo, file)

    async def is_tracked(self, path: str) -> bool:
        """Whether the index of the repository has the file. `path` is from the repository's top."""
        code, _, _ = await self._git.attempt(self._repo, "ls-files", "--error-unmatch", "--", f":(top,literal){path}")
        return code == 0

    async def check_repository(self) -> None:
        """Raises GitFailed if git can't use the repository."""
        await self._git.run(self._repo, "rev-parse", "--git-dir")

    async def check_writable(self) -> None:
        """Raises GitFailed if `user` may not make worktrees and refs."""
        user = rights.other()
        if user:
            common = await self.common()
            places = [folder for name in ("", "refs", "worktrees", "objects") if (folder := common / name).exists()]
            writable = access.writable(places, user)
            if denied := [folder for folder in places if folder not in writable]:
                what = f"{user.name} may not write to {', '.join(map(str, denied))}"
                raise GitFailed(what, f"give it to that user: `chown -R {user.name}:{user.gid} {common}`")

    async def adopt_slots(self) -> None:
        """Converts slots that are folders, as early releases made them, to trees. Raises OSError."""
        trees.adopt_slots(self.data)
        for tree in trees.TREE_OF_SLOT.values():
            path = self.path(tree)
            registration = await self._git_dir(path)
            if registration and trees.made_as_slot(path):
                trees.register(path, registration)

    async def checkout(self, tree: int, commit: str, clearing: Clearing | None = None) -> None:
        """Makes the tree exactly that commit. Ignored files and installed packages stay. Raises GitFailed.

        A tree that was set up as a slot is replaced by a new one, because installed packages may contain its old path.
        """
        path = self.path(tree)
        former: list[Submodule] = []
        cleared = True
        git_dir = None if trees.made_as_slot(path) else await self._git_dir(path)
        if git_dir:
            gitdir.clear_stale_locks(git_dir)
            former = await self._submodules.all(path, git_dir)
            gitdir.restore_index(git_dir)
            if clearing:
                cleared = await _done(clearing.before_checkout(commit))
        if not git_dir or not cleared or not await self._moved(path, commit):
            git_dir = await self._begin_anew(path, commit, clearing)
        if clearing:
            cleared = await _done(clearing.before_clean())
        await self._submodules.forget(former, path, git_dir)
        if not cleared or (await self._git.attempt(path, *_clean(path)))[0]:
            git_dir = await self._begin_anew(path, commit, clearing)
        gitdir.keep_index(git_dir)
        await self._submodules.update(former, path, git_dir, _clean)

    async def try_git(self, folder: Path, *args: str) -> tuple[int, str, str]:
        """Runs git in a tree or a submodule. Exit code 128 if its `.git` leads to anything else. Raises GitFailed."""
        of_tree = await self._git_dir(self.data / folder.relative_to(self.data).parts[0])
        own = gitdir.named_by(folder / ".git")
        if not of_tree or not own or not (own == of_tree or own.is_relative_to(of_tree / "modules")):
            return 128, "", f"{folder} is no working tree of ours"
        return await self._git.attempt(folder, *args, env=gitdir.kept_index(own))

    async def protect(self, role: Protected, commit: str) -> None:
        """Protects a commit from `git gc` by a ref, because no branch or worktree may contain it. Raises GitFailed."""
        gitdir.clear_stale_locks(await self.common() / OWN_REFS)
        await self._git.run(self._repo, "update-ref", f"{OWN_REFS}/{role}", commit)

    async def fingerprint(self, tree: int, without: Sequence[str] = ()) -> str | None:
        """A digest of the differences between tracked files, also in submodules, and the commit checked out.

        Empty if there are none. None if git can't tell. What lies at or below the paths `without` does not count.
        """
        path = self.path(tree)
        git_dir = await self._git_dir(path)
        if not git_dir:
            return None
        gitdir.clear_stale_locks(git_dir)
        try:
            digests = [await self._digest(path, git_dir, without)]
            for submodule in await self._submodules.all(path, git_dir):
                there = submodule.is_populated
                digests.append(await self._digest(submodule.folder, submodule.git_dir) if there else submodule.path)
        except GitFailed:
            return None
        return hashlib.sha256("\0".join(digests).encode()).hexdigest() if any(digests[1:]) else digests[0]

    async def hide(self, tree: int, names: Sequence[str]) -> None:
        """`git status` and `git describe --dirty` in the tree no longer look at these tracked files. Raises GitFailed.

        The kept index does not change.
        """
        for first in range(0, len(names), MOST_NAMES):
            few = names[first : first + MOST_NAMES]
            await self._git.run(self.path(tree), "update-index", "--skip-worktree", "--", *few)

    async def lfs_pointers(self, tree: int) -> list[str]:
        """Files of which the tree has only Git LFS's pointer, though nobody has asked for that. Raises GitFailed."""
        path = self.path(tree)
        names = [name for name in (await self._git.run(path, "ls-files", "-z", "--", lfs.TRACKED)).split("\0") if name]
        if not names or of_commands().get("GIT_LFS_SKIP_SMUDGE", "0") != "0":
            return []
        for key in lfs.ON_PURPOSE:
            if (await self._git.attempt(path, "config", "--get", key))[0] == 0:
                return []
        return await in_thread(lambda: lfs.pointers(path, names))

    async def head(self, tree: int) -> str:
        """The commit that is checked out. Empty if there is none."""
        path = self.path(tree)
        if not await self._git_dir(path):
            return ""
        code, commit, _ = await self._git.attempt(path, "rev-parse", "HEAD")
        return "" if code else commit.strip()

    async def common(self) -> Path:
        """The git dir that all worktrees of the repository share."""
        if self._common_dir is None:
            out = await self._git.run(self._repo, "rev-parse", "--path-format=absolute", "--git-common-dir")
            self._common_dir = Path(out.removesuffix("\n")).resolve()
        return self._common_dir

    async def _git_dir(self, path: Path) -> Path | None:
        return gitdir.of_worktree(path, await self.common())

    async def _moved(self, path: Path, commit: str) -> bool:
        """Checks the commit out. False if git refused, for instance because an ignored folder is where a file goes.

        Raises GitFailed if it would fail in a new worktree, too.
        """
        code, _, err = await self._git.attempt(path, "checkout", "--quiet", "--force", "--detach", commit)
        if code and NOT_THE_SLOTS_FAULT.search(err):
            raise self._git.failure("checkout", code, err)
        return code == 0

    async def _begin_anew(self, path: Path, commit: str, clearing: Clearing | None) -> Path:
        common = await self.common()
        if reason := gitdir.lock_of_user(path, common):
            raise GitFailed(f"the worktree {path} is locked: {reason}", f"unlock it: `git worktree unlock {path}`")
        if clearing:
            await clearing.before_removal()
        await remove_tree(path, owner(self.data))
        trees.make(path)
        argv = ("worktree", "add", "--quiet", "--force", "--force", "--detach", str(path), commit)
        await self._git.run(self._repo, *argv)
        git_dir = gitdir.of_worktree(path, common)
        assert git_dir is not None
        return git_dir

    async def _digest(self, tree: Path, git_dir: Path, without: Sequence[str] = ()) -> str:
        """A digest of `git diff HEAD`. Empty if there are no differences. Raises GitFailed."""
        digest, text = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")("replace")
        changed = False

        def add(piece: bytes) -> None:
            nonlocal changed
            changed = True
            digest.update(text.decode(piece).encode())

        argv = ("diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty")
        pathspecs = ("--", ".", *(f":(exclude,literal){name}" for name in without))
        code, _, err = await self._git.attempt(tree, *argv, *pathspecs, env=gitdir.kept_index(git_dir), on_output=add)
        if code:
            raise self._git.failure("diff", code, err)
        digest.update(text.decode(b"", final=True).encode())
        return digest.hexdigest() if changed else ""


def _clean(folder: Path) -> list[str]:
    return ["clean", "-ffdq", *excluded(folder)]


async def _done(clearing: Awaitable[None]) -> bool:
    """False if it failed because git can't list files, a path is too long, or a folder is somebody else's."""
    try:
        await clearing
    except CannotList:
        return False
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM):
            raise
        return False
    return True
