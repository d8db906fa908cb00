"""The branch that is pushed to: which one it is, where it is, and how it moves. `init --push` has set it up."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

from slot_machine.host.git.git import LIMIT_S, Git
from slot_machine.host.git.worktrees import OWN_REFS

KEY = "slot-machine.pushBranch"
"""In the repository's configuration: a branch, or HEAD for the one that HEAD leads to. Without it, nobody can push."""

FOLLOWS_HEAD = "HEAD"
HEADS = "refs/heads/"
LIVE = f"{OWN_REFS}/live"
"""The live commit, as the branch has followed it last."""
TIPS = f"{OWN_REFS}/tips"
"""Commits that the branch was at and that it does not contain any more, so that `git gc` keeps them."""

NOWHERE = "0" * 40
"""The hash of no commit. Git takes it for one of SHA-256, too."""

AUTHOR = {"GIT_COMMITTER_NAME": "slot-machine", "GIT_COMMITTER_EMAIL": "slot-machine@localhost"}
"""Of entries in reflogs."""

HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Branches:
    """Every call raises GitFailed. A branch is named in full: `refs/heads/main`. A commit is empty if there is none."""

    def __init__(self, repo: Path, data: Path, configured: str = "", git_limit_s: float = LIMIT_S) -> None:
        """`configured` is the field `push_branch`."""
        self._repo = repo
        self._configured = configured
        self._git = Git(data, git_limit_s)
        self._moving = asyncio.Lock()

    async def deployed(self) -> str:
        """The branch whose pushes are deployed; empty if `init --push` was not run here, or if HEAD is detached."""
        named = await self._config(KEY)
        if not named:
            return ""
        if self._configured:
            return f"{HEADS}{self._configured}"
        return f"{HEADS}{named}" if named != FOLLOWS_HEAD else await self._head()

    async def is_free_to_choose(self) -> bool:
        """Whether the first branch that is pushed is to be the deployed one, as HEAD leads to none that exists."""
        if self._configured or await self._config(KEY) != FOLLOWS_HEAD:
            return False
        head = await self._head()
        return bool(head) and not await self.tip(head)

    async def choose(self, branch: str) -> None:
        """Lets HEAD lead to the branch."""
        await self._git.run(self._repo, "symbolic-ref", "HEAD", branch)

    async def tip(self, ref: str) -> str:
        code, commit, _ = await self._git.attempt(self._repo, "rev-parse", "--verify", "--quiet", ref)
        found = commit.strip()
        return found if code == 0 and HASH.fullmatch(found) else ""

    async def contains(self, commit: str, earlier: str) -> bool:
        return await self._git.contains(self._repo, commit, earlier)

    async def denies(self, what: str) -> bool:
        """Whether the repository's configuration says so, such as by `receive.denyNonFastForwards`."""
        return await self._config(what, "--type=bool") == "true"

    async def checked_out(self) -> Mapping[str, Path]:
        """The branches that working trees of the repository are on, with the tree."""
        out = await self._git.run(self._repo, "worktree", "list", "--porcelain")
        found: dict[str, Path] = {}
        for entry in out.split("\n\n"):
            fields = dict(line.partition(" ")[::2] for line in entry.splitlines())
            if "branch" in fields and "bare" not in fields:
                found[fields["branch"]] = Path(fields["worktree"])
        return found

    async def follow(self, branch: str, commit: str, why: str) -> str:
        """Moves the branch to the live commit, and notes that it has followed. Returns where the branch was.

        A working tree on the branch stays as it is: its HEAD is detached at the commit that it shows. What the branch
        does not contain any more is kept under a ref of ours.
        """
        async with self._moving:
            before = await self.tip(branch)
            if before and before != commit:
                if not await self.contains(commit, before):
                    await self._git.run(self._repo, "update-ref", f"{TIPS}/{before}", before)
                if tree := (await self.checked_out()).get(branch):
                    await self._update("HEAD", before, before, f"{why}; {branch} moves on", "--no-deref", folder=tree)
            if before != commit:
                await self._update(branch, commit, before or NOWHERE, why, "--create-reflog")
                await self._forget_tips(commit)
            await self.note(commit)
            return before

    async def note(self, commit: str) -> None:
        """The branch has followed this live commit."""
        if await self.tip(LIVE) != commit:
            await self._git.run(self._repo, "update-ref", LIVE, commit)

    async def _forget_tips(self, commit: str) -> None:
        """Those that the branch contains again."""
        argv = ("for-each-ref", f"--merged={commit}", "--format=%(refname)", TIPS)
        for ref in (await self._git.run(self._repo, *argv)).split():
            await self._git.run(self._repo, "update-ref", "-d", ref)

    async def _update(
        self, ref: str, to: str, before: str, why: str, *options: str, folder: Path | None = None
    ) -> None:
        argv = ("update-ref", *options, "-m", why, ref, to, before)
        await self._git.run(folder or self._repo, *argv, env=AUTHOR)

    async def _head(self) -> str:
        code, name, _ = await self._git.attempt(self._repo, "symbolic-ref", "--quiet", "HEAD")
        return name.strip() if code == 0 else ""

    async def _config(self, key: str, *options: str) -> str:
        code, value, err = await self._git.attempt(self._repo, "config", *options, "--get", key)
        if code not in (0, 1):
            raise self._git.failure("config", code, err)
        return value.strip() if code == 0 else ""


def short_name(branch: str) -> str:
    return branch.removeprefix(HEADS)
