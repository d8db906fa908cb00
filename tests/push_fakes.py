"""Branches in memory, in place of git's."""

from typing import Protocol

from slot_machine.core.errors import GitFailed
from slot_machine.host.git.branches import HEADS, LIVE, TIPS


class Steps(Protocol):
    async def step(self, name: str, /) -> None: ...


class Branches:
    """`parents` has the commit before each one. Nobody can push until `head` is set."""

    def __init__(self, faults: Steps) -> None:
        self.head = ""
        self.fails = False
        """Whether no branch can be moved."""
        self.refs: dict[str, str] = {}
        self.parents: dict[str, str] = {}
        self.denied: set[str] = set()
        self.of_working_trees: set[str] = set()
        self.log: list[str] = []
        """Why the branch has moved, each time."""
        self._faults = faults

    async def deployed(self) -> str:
        await self._faults.step("deployed branch")
        return HEADS + self.head if self.head else ""

    async def is_free_to_choose(self) -> bool:
        return bool(self.head) and HEADS + self.head not in self.refs

    async def choose(self, branch: str) -> None:
        self.head = branch.removeprefix(HEADS)

    async def tip(self, ref: str) -> str:
        await self._faults.step("tip")
        return self.refs.get(ref, "")

    async def contains(self, commit: str, earlier: str) -> bool:
        while commit and commit != earlier:
            commit = self.parents.get(commit, "")
        return bool(commit)

    async def denies(self, what: str) -> bool:
        return what in self.denied

    async def checked_out(self) -> set[str]:
        return self.of_working_trees

    async def follow(self, branch: str, commit: str, why: str) -> str:
        await self._faults.step("follow")
        if self.fails:
            raise GitFailed("no space")
        before = self.refs.get(branch, "")
        if before and not await self.contains(commit, before):
            self.refs[f"{TIPS}/{before}"] = before
        self.refs |= {branch: commit, LIVE: commit}
        self.log.append(why)
        return before

    async def note(self, commit: str) -> None:
        self.refs[LIVE] = commit
