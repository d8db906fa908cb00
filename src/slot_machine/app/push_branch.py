"""The branch that is pushed to follows what is live: after each switch, and after a daemon that was killed in one."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection
from typing import Protocol

from slot_machine.core.errors import GitFailed
from slot_machine.core.model import short
from slot_machine.host.git.branches import LIVE, short_name
from slot_machine.state.store import Store

log = logging.getLogger(__name__)

RETRY_S = 10.0


class Branches(Protocol):
    """As `host.git.branches.Branches`."""

    async def deployed(self) -> str: ...
    async def is_free_to_choose(self) -> bool: ...
    async def choose(self, branch: str, /) -> None: ...
    async def tip(self, ref: str, /) -> str: ...
    async def contains(self, commit: str, earlier: str, /) -> bool: ...
    async def denies(self, what: str, /) -> bool: ...
    async def checked_out(self) -> Collection[str]: ...
    async def follow(self, branch: str, commit: str, why: str, /) -> str: ...
    async def note(self, commit: str, /) -> None: ...


class PushBranch:
    """`name` is the branch in short, for people; empty if nobody can push here. `why` names the latest attempt."""

    def __init__(self, store: Store, branches: Branches, why: Callable[[], str] = lambda: "") -> None:
        self.branches = branches
        self.name = ""
        self._store = store
        self._why = why
        self._seen: str | None = None
        """The live commit that it has followed; None before the first look."""
        self._changed = asyncio.Event()
        self._following = asyncio.Lock()

    def look(self) -> None:
        """The live version may have changed."""
        self._changed.set()

    async def keep(self) -> None:
        """Runs until cancelled. What fails is tried again."""
        while True:
            self._changed.clear()
            try:
                await self.follow()
            except (GitFailed, OSError, sqlite3.Error) as error:
                log.error("cannot let the branch follow what is live: %s", error)
                await asyncio.sleep(RETRY_S)
            else:
                await self._changed.wait()

    async def follow(self, *, always: bool = False) -> None:
        """Moves the branch to the live commit if that has changed, or `always`. Raises GitFailed, sqlite3.Error.

        Commits that somebody made on the branch stay there while nothing else becomes live.
        """
        async with self._following:
            live = self._store.state().live
            commit = live.commit if live else ""
            if commit == self._seen and not always:
                return
            branch = await self.branches.deployed()
            self.name = short_name(branch)
            if branch and commit:
                if always or await self._is_behind(branch, commit):
                    self._tell(branch, commit, await self.branches.follow(branch, commit, self._words()))
                else:
                    await self.branches.note(commit)
            self._seen = commit

    async def _is_behind(self, branch: str, commit: str) -> bool:
        """Whether what is live has changed since the branch followed, under this daemon or an earlier one."""
        if self._seen is not None or not await self.branches.tip(branch):
            return True
        return await self.branches.tip(LIVE) not in ("", commit)

    def _words(self) -> str:
        return f"slot-machine: {self._why() or 'follows what is live'}"

    def _tell(self, branch: str, commit: str, before: str) -> None:
        if before not in ("", commit):
            words = "%s follows what is live: it is at %s, and was at %s"
            log.info(words, short_name(branch), short(commit), short(before))
