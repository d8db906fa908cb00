"""The branch of a remote repository that is followed: fetched into a ref of ours. Nothing is ever pushed."""

import re
from pathlib import Path

from slot_machine.core.errors import GitFailed
from slot_machine.host.git import credentials, gitdir
from slot_machine.host.git.credentials import Hint
from slot_machine.host.git.git import Git, without_password
from slot_machine.host.git.worktrees import OWN_REFS

SILENCE_S = 120.0
"""A fetch is ended when it shows no progress for so long. How long it takes as a whole is not limited."""

FETCHED = f"{OWN_REFS}/follow"
LEFT_OUT = f"{OWN_REFS}/left-out"
"""Refs of ours: the commit at which the branch was, and the latest one that was left out."""

FETCH = (
    "fetch",
    "--progress",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
    "--no-prune",
    "--no-prune-tags",
    # No ref of the operator is updated beside ours.
    "--refmap=",
    "--",
)

PROGRESS = re.compile(r"(remote: )?[A-Z]\w+( \w+)*: +(\d|done)|remote: (Enumerating|Total|Compressing) |\s*\Z")
ADVICE = ("Please make sure you have the correct access rights", "and the repository exists.")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


HINTS = (
    Hint("couldn't find remote ref", "the remote has no such branch: set follow.branch, or push it"),
    Hint("does not appear to be a git repository", "`git remote -v` lists the remotes: set follow.remote"),
)


class Remote:
    """All calls raise GitFailed."""

    def __init__(self, repo: Path, data: Path, remote: str, branch: str, silence_s: float = SILENCE_S) -> None:
        self._repo = repo
        self._git = Git(data)
        self._remote = remote
        self._branch = branch
        self._silence_s = silence_s
        self._common = ""

    async def tip(self) -> str:
        """Fetches the branch, and returns the full hash of its commit."""
        if not self._common:
            self._common = await self._git.run(self._repo, "rev-parse", "--path-format=absolute", "--git-common-dir")
        gitdir.clear_stale_locks(Path(self._common.removesuffix("\n")) / OWN_REFS)
        env = await self._git.remote_environment(self._repo)
        argv = (*FETCH, self._remote, f"+refs/heads/{self._branch}:{FETCHED}")
        own = {f"remote.{self._remote}.followRemoteHEAD": "never"} if NAME.fullmatch(self._remote) else {}
        code, _, err = await self._git.attempt(self._repo, *argv, config=own, env=env, silence_s=self._silence_s)
        if code:
            raise _failure("fetch", err, code)
        return (await self._git.run(self._repo, "rev-parse", "--verify", f"{FETCHED}^{{commit}}")).strip()

    async def ask(self) -> str:
        """The commit at which the branch is, without fetching it."""
        env = await self._git.remote_environment(self._repo)
        argv = ("ls-remote", "--", self._remote, f"refs/heads/{self._branch}")
        code, out, err = await self._git.attempt(self._repo, *argv, env=env, silence_s=self._silence_s)
        if code or not out:
            raise _failure("ls-remote", err or f"couldn't find remote ref refs/heads/{self._branch}", code)
        return out.split()[0]

    async def contains(self, commit: str, earlier: str) -> bool:
        """Whether `earlier` is in the history of `commit`, or is it."""
        return await self._git.contains(self._repo, commit, earlier)

    async def leave_out(self, commit: str) -> None:
        """Notes it where it outlives the database."""
        await self._git.run(self._repo, "update-ref", LEFT_OUT, commit)

    async def left_out(self) -> str:
        """The commit that was noted last; empty if there is none."""
        code, commit, _ = await self._git.attempt(self._repo, "rev-parse", "--verify", "--quiet", LEFT_OUT)
        return "" if code else commit.strip()


def _failure(command: str, err: str, code: int) -> GitFailed:
    """In one line, without the progress."""
    lines = [line.strip() for line in without_password(err).splitlines() if not PROGRESS.match(line)]
    lines = [line for line in lines if line not in ADVICE]
    what = "; ".join(lines[-6:]) or f"exit code {code}"
    return GitFailed(f"git {command} failed: {what}", _hint(err))


def _hint(err: str) -> str:
    return credentials.hint(err) or next((hint for pattern, hint in HINTS if pattern in err), "")
