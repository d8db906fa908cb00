"""In which tree a version is prepared."""

from dataclasses import dataclass

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.preflight import Preflight
from slot_machine.app.release import describe
from slot_machine.app.slots import Slots
from slot_machine.core.model import Version
from slot_machine.core.phases import Event
from slot_machine.state.store import Store

EMPTIED_WITHIN_S = 60.0
"""So long a deploy waits for processes that retire in the tree that it needs."""


@dataclass(frozen=True)
class Placing:
    _store: Store
    _slots: Slots
    _preflight: Preflight
    _has_spare_tree: bool

    async def place(self, attempt: RunningAttempt, version: Version) -> Version:
        """In the spare tree. If there can be no third tree, in that of the previous version, which is overwritten.

        A tree in which something runs is not overwritten. Raises StageFailed if that leaves none, or if there is no
        room.
        """
        previous = self._store.state().previous
        version = self._in_free_tree(attempt, version)
        await self._emptied(attempt, version.tree if self._has_spare_tree or not previous else previous.tree)
        occupied = self._slots.occupancy.of(version.tree)
        has_room = not occupied and await self._has_room(attempt, version)
        if not previous or (has_room and self._has_spare_tree):
            self._slots.check_free(version.tree)
            self._preflight.check_disk(version)
            return version
        obstacle = self._obstacle(version)
        instead = version.moved(version.slot, previous.tree)
        self._slots.check_free(instead.tree)
        if not occupied and (not self._has_spare_tree or not await self._has_room(attempt, instead)):
            await self._slots.discard(attempt, version.tree)
        self._preflight.check_disk(instead)
        if self._slots.holds(previous):
            attempt.warn(f"{obstacle}, so {describe(previous)} is overwritten: a rollback to it prepares it again")
        attempt.aim(instead)
        return instead

    def place_again(self, attempt: RunningAttempt, previous: Version) -> Version:
        """For a rollback that must prepare the version again. Returns it with the tree in which that happens.

        This is the spare tree, if there can be one and the version's own tree is still complete: then the own tree
        stays as it is until the switch. Otherwise it is the own tree.
        """
        version = previous.moved(previous.slot, self._store.state().spare_tree)
        if not self._slots.holds(previous) or self._obstacle(version):
            return previous
        attempt.aim(version)
        return version

    def place_beside(self, attempt: RunningAttempt, live: Version) -> Version:
        """As `place_again`, for a recovery: only if something runs in the tree, such as a shell of `run`."""
        return self.place_again(attempt, live) if self._slots.occupancy.of(live.tree) else live

    async def make_ready(self, attempt: RunningAttempt, version: Version, *, usable: bool) -> Event:
        """Prepares the version again unless its tree is `usable`. Returns the event with which it can start."""
        if usable:
            self._slots.warn_of_build(attempt, version)
            return Event.REUSE
        attempt.on(Event.PREPARE_AGAIN, describe(version))
        await self._emptied(attempt, version.tree)
        await self._slots.prepare(attempt, version, again=True)
        return Event.PREPARED

    def _in_free_tree(self, attempt: RunningAttempt, version: Version) -> Version:
        """In the first tree that neither slot uses and in which nothing runs; as it is if there is none."""
        free = [tree for tree in self._store.state().spare_trees if not self._slots.occupancy.of(tree)]
        if not free or version.tree in free:
            return version
        version = version.moved(version.slot, free[0])
        attempt.aim(version)
        return version

    async def _emptied(self, attempt: RunningAttempt, tree: int) -> None:
        """Gives what ends in the tree some time for that."""
        if ending := self._slots.occupancy.ending(tree):
            attempt.output(f"waits for up to {EMPTIED_WITHIN_S:g} s until this has ended: {', '.join(ending)}")
            await self._slots.occupancy.emptied(tree, EMPTIED_WITHIN_S)

    async def _has_room(self, attempt: RunningAttempt, version: Version) -> bool:
        """Measures again, then removes what failed deploys wrote into its tree, if it lacks room otherwise."""
        if self._preflight.lack(version):
            await self._preflight.measure_again(version.tree)
        if self._preflight.lack(version):
            await self._slots.take_back(attempt, version.tree)
        return not self._preflight.lack(version)

    def _obstacle(self, version: Version) -> str:
        """Why there can be no spare tree for it; empty if there can."""
        if not self._has_spare_tree:
            return "spare_tree is false"
        if running := self._slots.occupancy.of(version.tree):
            return f"{', '.join(running)} still runs in the third tree"
        return "there is no room for a third tree" if self._preflight.lack(version) else ""
