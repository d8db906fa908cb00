"""From a prepared version to one that serves or is held: the second half of all attempts that start one."""

import asyncio
from dataclasses import dataclass

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.outcomes import Done
from slot_machine.app.parts import Parts
from slot_machine.app.rehearsal import Rehearsal
from slot_machine.app.release import Release
from slot_machine.app.watching import Left, Watching
from slot_machine.core.model import State, Version
from slot_machine.core.phases import Event, Phase

SCHEDULERS_RUN = (
    "the held version runs: what its web process itself does in the background, such as a scheduler or a consumer of a"
    " queue, runs now{}; its processes and jobs begin when it is promoted"
)
BESIDE = " beside that of the live version"


@dataclass(frozen=True)
class GoingLive:
    _parts: Parts
    _watching: Watching
    _rehearsal: Rehearsal

    def check_environment(self, attempt: RunningAttempt, version: Version) -> None:
        """Before anything is touched. Raises StageFailed."""
        stage = Phase.START if attempt.phase is Phase.IDLE else attempt.phase
        dropped = self._parts.launcher.dropped_variables(version, stage)
        if dropped:
            attempt.warn(f"/bin/sh does not hand on these variables of env_file, for their names: {', '.join(dropped)}")

    async def check_memory(self, attempt: RunningAttempt, version: Version) -> None:
        """Warns if two versions at once may not fit into memory."""
        live = self._parts.supervisor.release
        if not live or not self._parts.supervisor.running or await self._parts.mode.reason_to_stop_first(version):
            return
        if self._watching.wanted(attempt, version, live.version):
            attempt.output(f"both versions run in the watch, which takes {self._parts.preflight.memory_of(live)} more")
        if warning := self._parts.preflight.memory_warning(live):
            attempt.warn(warning)

    async def hold(self, attempt: RunningAttempt, event: Event, version: Version) -> Done:
        live = self._parts.state.live
        candidate = await self._parts.rollout.bring_up(attempt, event, version, live)
        await self._rehearsal.run(attempt, candidate)
        try:
            url = await self._parts.candidates.hold(candidate, attempt.record.id)
        except BaseException:
            await candidate.stop(version.config.drain_timeout_s / 2)
            raise
        attempt.warn(SCHEDULERS_RUN.format(BESIDE if live else ""))
        attempt.on(Event.HOLD)
        return Done("deploy", version, live.commit if live else "", "", attempt.warnings, held=True, preview_url=url)

    async def go_live(self, attempt: RunningAttempt, event: Event, version: Version) -> Done:
        before = self._parts.state
        live = before.live
        candidate = await self._parts.rollout.bring_up(attempt, event, version, live)
        await self._rehearsal.run(attempt, candidate)
        try:
            await self.prepare_return(attempt, before, candidate.version)
        except BaseException:
            await candidate.stop(version.config.drain_timeout_s / 2)
            raise
        old = await self.switch(attempt, before, candidate)
        return await self.watch_and_finish(attempt, before, candidate.version, old)

    async def prepare_return(self, attempt: RunningAttempt, before: State, version: Version) -> None:
        """Before the switch to a version that is to be watched."""
        if self._watching.wanted(attempt, version, before.live):
            await self._parts.rollout.prepare_return(attempt, version)

    async def switch(self, attempt: RunningAttempt, before: State, candidate: Release) -> Release | None:
        watched = self._watching.wanted(attempt, candidate.version, before.live)
        return await self._parts.rollout.promote(attempt, candidate, watched=watched)

    async def watch_and_finish(
        self, attempt: RunningAttempt, before: State, version: Version, old: Release | None
    ) -> Done:
        commit = before.live.commit if before.live else ""

        def done(*, watched: bool = False) -> Done:
            record = attempt.record
            return Done(record.kind, version, commit, record.requests, attempt.warnings, watched=watched)

        def began() -> None:
            if attempt.early:
                attempt.early.set_result(done(watched=True))

        if self._watching.wanted(attempt, version, before.live):
            since_s = asyncio.get_running_loop().time()
            await self._watching.run(attempt, before, version, old, since_s, began)
        else:
            # What visitors saw of another version in its slot is not to count in the next watch.
            self._parts.tasks.create_task(self._parts.recorder.look())
        await self._parts.rollout.finish(attempt, before, old)
        return done()

    async def watch_on(self, left: Left) -> Done:
        before = left.before
        async with self._parts.attempts.reopen(left.candidate) as attempt:
            await self._watching.go_on(attempt, left)
            await self._parts.rollout.finish(attempt, before, left.old)
            commit = before.live.commit if before.live else ""
            return Done(attempt.record.kind, left.candidate.version, commit, "", attempt.warnings)
