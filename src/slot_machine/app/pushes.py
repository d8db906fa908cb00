"""A push: the update of the deployed branch is deployed, and only then the branch moves. All others are stored."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from slot_machine.app.attempt import Report
from slot_machine.app.deployer import Deployer
from slot_machine.app.failures import going_on
from slot_machine.app.operations import Operations
from slot_machine.app.outcomes import Outcome, Wishes
from slot_machine.app.push_branch import PushBranch
from slot_machine.core.errors import GitFailed, PushRefused, SlotMachineError, StageFailed
from slot_machine.core.model import short
from slot_machine.core.origin import Origin
from slot_machine.host.git.branches import HEADS, short_name

TRIGGER = "push"
USUAL = ("main", "master")
"""Which of several branches is deployed, where none was chosen before."""


class Update(NamedTuple):
    """`old` and `new` are hashes; of zeros where the branch is to be made or deleted."""

    ref: str
    old: str
    new: str

    @property
    def deletes(self) -> bool:
        return not self.new.strip("0")


class Plan(NamedTuple):
    """`branch` is the deployed one; `deployed` is its update, if there is one. `first`: it is to be chosen."""

    branch: str
    deployed: Update | None
    others: tuple[Update, ...]
    first: bool = False


@dataclass(frozen=True)
class Pushes:
    _deployer: Deployer
    _branch: PushBranch
    _tasks: asyncio.TaskGroup

    @property
    def operations(self) -> Operations:
        return self._deployer.operations

    async def plan(self, updates: Sequence[Update], *, atomic: bool = False) -> Plan:
        """What is to be done with each update. Raises PushRefused, GitFailed."""
        branch, first = await self._deployed(updates)
        found = next((update for update in updates if update.ref == branch), None)
        others = tuple(update for update in updates if update is not found)
        if found and others and atomic:
            what = f"{short_name(branch)} is deployed before the other branches are stored, so --atomic can't hold"
            raise PushRefused(what, "push it alone, or without --atomic")
        return Plan(branch, found, others, first)

    async def refusals(self, updates: Sequence[Update]) -> dict[str, str]:
        """Of branches that are stored only: what git would refuse right after, and why."""
        found = {}
        for update in updates:
            try:
                await self._check(update)
            except PushRefused as refusal:
                found[update.ref] = str(refusal)
        return found

    def begin(self, plan: Plan, report: Report, origin: Origin, *, waited: bool = False) -> "asyncio.Task[Outcome]":
        """Deploys; the branch has moved when the task ends, also if nobody waits for it. Raises Busy, Stopping.

        `waited`: for a turn. The branch may have moved meanwhile, if the push contains what was deployed before it.
        """
        update = plan.deployed
        assert update
        wishes = Wishes(if_changed=True)
        named = origin._replace(ref=short_name(update.ref))
        check = partial(self._begin, update, first=plan.first, waited=waited)
        return self._tasks.create_task(
            self._moved(self._deployer.deploy(update.new, TRIGGER, report, wishes, named, check))
        )

    async def _moved(self, deploying: "asyncio.Task[Outcome]") -> Outcome:
        outcome = await deploying
        if isinstance(outcome, SlotMachineError):
            # It may have been live for a while, until it was taken back.
            with going_on("cannot let the branch follow what is live, which is tried again"):
                await self._branch.follow()
            return outcome
        try:
            await self._branch.follow(always=True)
        except GitFailed as error:
            what = f"{short(outcome.version.commit)} is live, but the branch can't follow: {error}"
            return StageFailed("", what, hint=error.hint or "mend the repository; the daemon tries it again")
        return outcome

    async def _deployed(self, updates: Sequence[Update]) -> tuple[str, bool]:
        """The deployed branch, and whether this push chooses it."""
        branches = self._branch.branches
        deployed = await branches.deployed()
        if not deployed:
            what = "the repository says of no branch that its pushes are deployed"
            raise PushRefused(what, "run `slot-machine init --push` there; if HEAD is detached, set `push_branch`")
        self._branch.name = short_name(deployed)
        chosen = self._deployer.state.live or self.operations.busy
        new = [update.ref for update in updates if update.ref.startswith(HEADS) and not update.deletes]
        if not new or chosen or not await branches.is_free_to_choose():
            return deployed, False
        wanted = [deployed, *(HEADS + name for name in USUAL), *new]
        return next(ref for ref in wanted if ref in new), True

    async def _begin(self, update: Update, *, first: bool, waited: bool) -> None:
        """All that git checks where it moves a branch itself. Raises PushRefused, GitFailed."""
        tip = await self._branch.branches.tip(update.ref) if waited and not update.deletes else ""
        if tip and await self._branch.branches.contains(update.new, tip):
            update = update._replace(old=tip)
        await self._check(update, deployed=True)
        if first:
            await self._branch.branches.choose(update.ref)

    async def _check(self, update: Update, *, deployed: bool = False) -> None:
        branches, name = self._branch.branches, short_name(update.ref)
        if deployed and update.deletes:
            raise PushRefused(
                f"{name} is the deployed branch, and can't be deleted", "set `push_branch` to another one"
            )
        tip, old = await branches.tip(update.ref), update.old if update.old.strip("0") else ""
        if tip != old:
            what = f"{name} has moved since your git looked: it is at {short(tip) or 'nothing'} now"
            raise PushRefused(what, "fetch, and push again")
        if update.deletes and await branches.denies("receive.denyDeletes"):
            raise PushRefused(f"{name} can't be deleted: receive.denyDeletes")
        forced = old and not update.deletes and not await branches.contains(update.new, old)
        if forced and await branches.denies("receive.denyNonFastForwards"):
            what = f"not a fast-forward: {short(update.new)} does not contain {short(old)}, where {name} is"
            raise PushRefused(f"{what}, and receive.denyNonFastForwards is set", "rebase or merge, and push again")
        if not deployed and update.ref in await branches.checked_out():
            raise PushRefused(f"{name} is checked out on the server", "push to another branch")
