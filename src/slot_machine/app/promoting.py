"""A promotion: the candidate that is held goes live. During a watch, the new version stays."""

import asyncio
from dataclasses import dataclass

from slot_machine.app import detached
from slot_machine.app.attempt import Report
from slot_machine.app.detached import Early
from slot_machine.app.going_live import GoingLive
from slot_machine.app.outcomes import Done, Outcome
from slot_machine.app.parts import Parts
from slot_machine.app.release import describe
from slot_machine.app.watching import Watching
from slot_machine.core.model import Version
from slot_machine.core.origin import Origin
from slot_machine.core.phases import Event


@dataclass(frozen=True)
class Promoting:
    _parts: Parts
    _live: GoingLive
    _watching: Watching

    def promote(self, trigger: str, report: Report, origin: Origin, *, detach: bool) -> "asyncio.Task[Outcome]":
        """Raises Busy, Stopping, NothingHeld, Impossible for one that has failed."""
        parts, operations = self._parts, self._parts.operations
        if operations.watches:
            operations.check_open()
            self._watching.keep(origin.who)
            return parts.tasks.create_task(self._kept())
        operations.check_free()
        version, early = parts.candidates.check_held().version, detached.early(wanted=detach)
        story = self._story(version, trigger, report, origin, early)
        return detached.answered(parts.tasks, operations.begin(story), early)

    async def _story(self, version: Version, trigger: str, report: Report, origin: Origin, early: Early | None) -> Done:
        parts = self._parts
        async with parts.attempts.begin("promote", trigger, report, origin) as attempt:
            before, attempt.early = parts.state, early
            attempt.describe(parts.commits.known(version.commit))
            attempt.aim(version)
            attempt.on(Event.PROMOTE, f"asking {describe(version)} once more")
            async with parts.candidates.taken() as candidate:
                await parts.rollout.check_health(candidate)
                await self._live.prepare_return(attempt, before, version)
                old = await self._live.switch(attempt, before, candidate)
            return await self._live.watch_and_finish(attempt, before, candidate.version, old)

    async def _kept(self) -> Outcome:
        outcome = await self._parts.operations.outcome()
        assert isinstance(outcome, Outcome)
        return outcome._replace(kind="promote") if isinstance(outcome, Done) else outcome
