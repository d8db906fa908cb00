"""Calls git: its environment, settings and time limit, and the messages for its errors."""

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from slot_machine.core.errors import GitFailed, GitTimedOut
from slot_machine.core.git_variables import TRUE_HISTORY
from slot_machine.host.files.capacity import free, megabytes
from slot_machine.host.process import commands
from slot_machine.host.process.containment import owner
from slot_machine.host.process.environment import of_commands
from slot_machine.host.user import rights

LIMIT_S = 600.0
"""For one git command with all that it starts: transfers, filters, ssh."""

MOST_LINES = 20
"""An error message shows so many lines of git's output, the last ones."""

SETTINGS = {
    # No hooks of the user in slots; no garbage collection during a deploy.
    "core.hooksPath": "/dev/null",
    "gc.auto": "0",
    "maintenance.auto": "0",
    "advice.detachedHead": "false",
    # A slot is the whole commit, byte for byte, whatever settings the user's own working tree has.
    "core.sparseCheckout": "false",
    "core.autocrlf": "false",
    "core.eol": "lf",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.ignoreCase": "false",
    "submodule.recurse": "false",
    # Git must notice every edit.
    "core.ignoreStat": "false",
    "core.trustctime": "true",
    "core.checkStat": "default",
    "core.fsmonitor": "false",
    "core.splitIndex": "false",
    # Git gives up on a server that sends less than 1 byte/s for 60 s.
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
}

NO_QUESTIONS = {"GIT_TERMINAL_PROMPT": "0", "SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never"}
"""Nobody can answer git's questions. A desktop sets SSH_ASKPASS, so it is cleared; GIT_ASKPASS is set on purpose."""

SSH = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"

NO_ROOM = "unable to write|No space left"
UNREACHABLE = "promisor remote"
FILTER = "(smudge|clean) filter .* failed"
DUBIOUS = "dubious ownership in repository at '(.*)'"

NOT_THE_SLOTS_FAULT = re.compile("|".join((NO_ROOM, UNREACHABLE, FILTER)))
"""Errors that a new worktree would not mend."""

PASSWORD = re.compile(r"(?<=://)[^/\s']*@")


class Git:
    """All calls raise GitFailed: if git fails or is missing, or GitTimedOut after `limit_s`."""

    def __init__(self, data: Path, limit_s: float = LIMIT_S) -> None:
        self._data = data
        self._limit_s = limit_s

    async def run(
        self, folder: Path, *args: str, config: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        code, out, err = await self.attempt(folder, *args, config=config, env=env)
        if code:
            raise self.failure(args[0], code, err or out)
        return out

    async def attempt(
        self,
        folder: Path,
        *args: str,
        config: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
        silence_s: float = 0,
    ) -> tuple[int, str, str]:
        """Like `commands.run`. `config` and `env` hold for this call and for what it starts.

        With `silence_s`, the limit is the time without a word of progress on stderr, and not the whole time.
        """
        if not folder.is_dir():
            return 128, "", f"{folder} is not a folder"
        settings = [word for pair in (SETTINGS | dict(config or {})).items() for word in ("-c", "=".join(pair))]
        environment = of_commands() | TRUE_HISTORY | NO_QUESTIONS | {"LC_ALL": "C"} | dict(env or {})
        limit_s = silence_s or self._limit_s
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit_s) as limit:
                # With `user`, git itself changes to the folder, with that user's rights.
                cwd, place = (commands.ROOT, ["-C", str(folder)]) if rights.other() else (folder, [])
                argv = ["git", *place, *settings, *args]
                heard = partial(_begin_again, loop, limit, limit_s) if silence_s else None
                return await commands.run(argv, cwd, environment, owner(self._data), on_output, on_errors=heard)
        except TimeoutError:
            hint = "a remote, a filter or the disk did not answer"
            what = f"made no progress for {limit_s:g} s" if silence_s else f"did not end within {limit_s:g} s"
            raise GitTimedOut(f"git {args[0]} {what}", hint) from None
        except FileNotFoundError:
            raise GitFailed("git is not installed", "install git") from None

    async def contains(self, folder: Path, commit: str, earlier: str) -> bool:
        """Whether `earlier` is in the history of `commit`, or is it."""
        code, _, err = await self.attempt(folder, "merge-base", "--is-ancestor", earlier, commit)
        if code not in (0, 1):
            raise self.failure("merge-base", code, err)
        return code == 0

    def failure(self, command: str, code: int, output: str) -> GitFailed:
        lines = without_password(output).strip().splitlines()[-MOST_LINES:]
        what = "\n".join(lines) or f"exit code {code}"
        return GitFailed(f"git {command} failed: {what}", self._hint(output))

    async def remote_environment(self, folder: Path) -> dict[str, str]:
        """Variables for a call that contacts a remote: ssh with limits, unless the user has configured ssh."""
        if {"GIT_SSH", "GIT_SSH_COMMAND"} & of_commands().keys():
            return {}
        code, _, _ = await self.attempt(folder, "config", "--get", "core.sshCommand")
        return {"GIT_SSH_COMMAND": SSH} if code else {}

    def _hint(self, output: str) -> str:
        hints = {
            NO_ROOM: f"{megabytes(free(self._data).bytes)} are free on the file system of {self._data},"
            " which may be too little",
            UNREACHABLE: "the repository is a partial clone, and its remote has the rest: make that reachable,"
            " or make a full clone",
            FILTER: "what the repository's attributes name, such as git-crypt or git-lfs, must work for the daemon's"
            " user and in a linked worktree; `git config --get-regexp ^filter` shows it",
        }
        if found := re.search(DUBIOUS, output):
            return _ownership(found[1])
        return next((hint for pattern, hint in hints.items() if re.search(pattern, output)), "")


def _begin_again(loop: asyncio.AbstractEventLoop, limit: asyncio.Timeout, limit_s: float) -> None:
    if not limit.expired():
        limit.reschedule(loop.time() + limit_s)


def _ownership(repository: str) -> str:
    if user := rights.other():
        return f"git runs as {user.name}, so give it the repository: `chown -R {user.name}:{user.gid} {repository}`"
    if os.geteuid() == 0:
        return f'set "user" to its owner, so that nothing of it runs as root, or `chown -R root: {repository}`'
    return "let the daemon's user own the repository, or name it in `git config --global safe.directory`"


def without_password(text: str) -> str:
    return PASSWORD.sub("", text)
