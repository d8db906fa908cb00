"""A rollback: the previous version goes live again, or an earlier one that is prepared again."""

import asyncio
from dataclasses import dataclass

from slot_machine.app.attempt import Report, RunningAttempt
from slot_machine.app.going_live import GoingLive
from slot_machine.app.outcomes import Done, Outcome
from slot_machine.app.parts import Parts
from slot_machine.app.release import describe
from slot_machine.app.targets import Targets
from slot_machine.core.errors import NothingToRollBackTo
from slot_machine.core.model import Version
from slot_machine.core.origin import Origin
from slot_machine.core.phases import Event
from slot_machine.host.files.kept import in_words


@dataclass(frozen=True)
class RollingBack:
    _parts: Parts
    _live: GoingLive
    _targets: Targets

    def rollback(self, trigger: str, report: Report, origin: Origin, to: str) -> "asyncio.Task[Outcome]":
        """Raises Busy, Stopping, NothingToRollBackTo."""
        operations = self._parts.operations
        operations.check_free()
        previous = self._parts.state.previous
        if not previous and not to:
            raise NothingToRollBackTo("there is no previous version to roll back to", "deploy one")

        async def story() -> Done:
            version = await operations.found(self._targets.version(to)) if to else previous
            assert version
            async with self._parts.attempts.begin("rollback", trigger, report, origin) as attempt:
                return await self._back_to(attempt, version, previous)

        return operations.begin(story())

    async def _back_to(self, attempt: RunningAttempt, version: Version, previous: Version | None) -> Done:
        parts = self._parts
        attempt.describe(parts.commits.known(version.commit))
        attempt.aim(version)
        if released := parts.attempts.released_since(version):
            what = f"release commands ran since {describe(version)} was deployed, and are not undone"
            attempt.warn(f"{what}: {in_words(released)}")
        self._live.check_environment(attempt, version)
        await parts.candidates.make_room(attempt)
        if version != previous:
            return await self._further(attempt, version)
        usable = await parts.slots.untouched(attempt, version)
        version = version if usable else parts.placing.place_again(attempt, version)
        event = await parts.placing.make_ready(attempt, version, usable=usable)
        return await self._live.go_live(attempt, event, version)

    async def _further(self, attempt: RunningAttempt, version: Version) -> Done:
        """To a version that no slot has any more."""
        attempt.on(Event.PREPARE_AGAIN, describe(version))
        version = await self._parts.placing.place(attempt, version)
        await self._live.check_memory(attempt, version)
        await self._parts.slots.prepare(attempt, version)
        return await self._live.go_live(attempt, Event.PREPARED, version)
