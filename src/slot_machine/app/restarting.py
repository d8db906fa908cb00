"""A restart: the live version is started afresh from its tree, with what `env_file` has now."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from slot_machine.app.attempt import Report
from slot_machine.app.going_live import GoingLive
from slot_machine.app.outcomes import Done, Outcome
from slot_machine.app.parts import Parts
from slot_machine.core.errors import NothingToRestart
from slot_machine.core.model import Version
from slot_machine.core.origin import Origin
from slot_machine.core.phases import Event


@dataclass(frozen=True)
class Restarting:
    _parts: Parts
    _live: GoingLive

    def restart(
        self, trigger: str, report: Report, warnings: Iterable[str], origin: Origin, cause: str
    ) -> "asyncio.Task[Outcome]":
        """Raises Busy, Stopping, NothingToRestart."""
        operations = self._parts.operations
        operations.check_free()
        live = self._parts.state.live
        if not live:
            raise NothingToRestart("nothing is live, so there is nothing to restart", "deploy a commit")
        return operations.begin(self._story(live, trigger, report, warnings, origin, cause))

    async def _story(
        self, live: Version, trigger: str, report: Report, warnings: Iterable[str], origin: Origin, cause: str
    ) -> Done:
        parts = self._parts
        async with parts.attempts.begin("restart", trigger, report, origin) as attempt:
            attempt.record.cause = cause
            attempt.describe(parts.commits.known(live.commit))
            attempt.aim(live)
            for warning in warnings:
                attempt.warn(warning)
            self._live.check_environment(attempt, live)
            await parts.slots.check_holds(live)
            parts.slots.warn_of_build(attempt, live)
            await parts.candidates.make_room(attempt)
            await self._live.check_memory(attempt, live)
            await parts.slots.mend(attempt, live)
            return await self._live.go_live(attempt, Event.REUSE, live)
