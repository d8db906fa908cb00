"""The steps that make a version live, one by one: `bring_up`, `promote`, `retire`. An operation composes them."""

import asyncio
from dataclasses import dataclass

from slot_machine.app import another_port, rehearsal
from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.clock import now
from slot_machine.app.failures import going_on, in_words, log_failure
from slot_machine.app.release import Release, describe
from slot_machine.app.retirement import Retired, retire
from slot_machine.app.seams import Starter, TrafficMode
from slot_machine.app.slots import Slots
from slot_machine.app.stage_commands import release_of
from slot_machine.app.supervisor import Supervisor
from slot_machine.core.candidate import Candidate
from slot_machine.core.errors import KeeperGone, StageFailed, Unsteerable
from slot_machine.core.model import State, Version
from slot_machine.core.phases import Event, Phase
from slot_machine.core.upstream import Counts
from slot_machine.host.process.session import SURVIVES
from slot_machine.state.store import Store

HOLD_MARGIN_S = 5.0


@dataclass(frozen=True)
class Rollout:
    _store: Store
    _slots: Slots
    _launcher: Starter
    _mode: TrafficMode
    _supervisor: Supervisor

    async def run_release_command(self, attempt: RunningAttempt, version: Version) -> Event:
        """While the live version serves; under `replace` without its side runs, which may use what is changed.

        Returns the event with which the version can start. Raises StageFailed; then the live version is as it was.
        """
        if not version.config.release_command:
            return Event.PREPARED
        attempt.on(Event.RELEASE, version.config.release_command)
        await self.stop_side_runs(attempt)
        await self._slots.run(attempt, version, release_of(version.config))
        return Event.RELEASED

    async def bring_up(self, attempt: RunningAttempt, event: Event, version: Version, live: Version | None) -> Release:
        """Starts a version and returns it as a candidate when it is healthy.

        `live` is the version that serves, and goes on to serve; if the two can't run at once, it is retired first.
        Raises StageFailed; then nothing of the candidate runs.
        """
        self._launcher.logs.of_attempt(version.slot, attempt.record.id)
        await self._slots.assets.link(attempt, version, live)
        release = await self._start(attempt, event, version, live)
        for doubt in release.web.listeners.doubts:
            attempt.warn(doubt)
        return release

    async def check_health(self, candidate: Release) -> None:
        """Of one that was healthy when it was held. Raises StageFailed, OSError."""
        answer = await self._launcher.probe(candidate)
        if not answer.healthy:
            what = (
                f"the held candidate {describe(candidate.version)} is not healthy any more: it answered {answer.words}"
            )
            raise StageFailed(Phase.HEALTH, what, hint="it stays held; `slot-machine abort` ends it")

    async def prepare_return(self, attempt: RunningAttempt, candidate: Version) -> None:
        """Before visitors get a candidate that may be taken back: the live version can then serve its assets."""
        if live := self._store.state().live:
            await self._slots.assets.link(attempt, live, candidate)

    async def promote(self, attempt: RunningAttempt, candidate: Release, *, watched: bool = False) -> Release | None:
        """Makes a candidate live and saves that. Returns the release it replaced, if that still runs.

        `watched`: also saves that it is watched, so that the next daemon goes on with that.

        If anything fails, the traffic goes back to the old release, and the candidate is stopped: what is live must be
        what the saved state says.
        """
        old, routed = None, False
        try:
            attempt.on(Event.HEALTHY, f"traffic to {describe(candidate.version)}")
            old = await self._supervisor.pause()
            if not candidate.running:
                raise StageFailed(Phase.SWITCH, "the app ended right after it was healthy")
            self._launcher.check(candidate)
            routed = True
            # In one step with the switch: pages of the old version ask for files that the new one does not have.
            ready = old.upstream if old and watched else None
            attempt.count(await self._mode.traffic.route(candidate.upstream, ready))
            state = self._store.state()
            if candidate.version != state.live:  # A restart changes nothing of the state.
                row = watched_row(attempt, candidate.version, state) if watched else None
                self._store.save_state(state.promoted(candidate.version, now()), row)
        except BaseException:
            try:
                if routed:
                    await self._mode.traffic.route(old.upstream if old else None)
                else:
                    await self._mode.traffic.offer(None)
            finally:
                await candidate.stop(candidate.version.config.drain_timeout_s / 2)
            raise
        self._launcher.logs.switched(candidate.version.slot, candidate.version.commit)
        self._supervisor.watch(candidate, attempt.record.id)
        self._slots.link()
        return old

    async def finish(self, attempt: RunningAttempt, before: State, old: Release | None) -> None:
        """After the switch from the state `before`, in which `old` was live, and after the watch."""
        event = Event.WATCHED if attempt.phase is Phase.WATCH else Event.SWITCHED
        attempt.on(event, f"{describe(old.version)}" if old else "nothing to drain")
        if old:
            await self.retire(attempt, old)
        with going_on("cannot see to what the app wrote into its tree"):
            await self._slots.left(attempt, before)
        with going_on("cannot let the branch follow what is live, which is tried again"):
            await self._slots.followed()
        attempt.on(Event.DRAINED)

    async def stop_side_runs(self, attempt: RunningAttempt) -> None:
        """Under `replace`, ends the live version's side runs: before the release command, and before its web run."""
        if attempt.version and attempt.version.config.strategy == "replace":
            await self._supervisor.stop_side_runs(attempt.record.id)

    async def retire(self, attempt: RunningAttempt, old: Release) -> None:
        """Drains and stops a release that was replaced. A failure is a warning: the new version is live already."""
        try:
            await self._retire(attempt, old)
        except Exception as error:  # noqa: BLE001 - see above
            log_failure(f"cannot drain {describe(old.version)}", error)
            attempt.warn(f"{describe(old.version)} was not drained in full: {in_words(error)}")

    async def _start(self, attempt: RunningAttempt, event: Event, version: Version, live: Version | None) -> Release:
        command, health = version.config.start_command, f"polling {version.config.health_endpoint}"

        def on_started() -> None:
            attempt.on(Event.STARTED, health)

        def on_taken(words: str) -> None:
            attempt.warn(words)
            attempt.summarize("another program has the port")
            attempt.on(Event.PORT_TAKEN, command)

        reason = await self._mode.reason_to_stop_first(version) if live else ""
        if live and not reason:
            try:
                attempt.on(event, command)
                return await self._launcher.launch_beside(version, on_started, on_taken)
            except (Unsteerable, KeeperGone) as obstacle:
                reason = str(obstacle)
        if live and attempt.holds:
            what = f"two versions can't run at once ({reason}), so none can be held"
            raise StageFailed(Phase.START, what, hint="deploy without --hold")
        if live:
            await self._make_way(attempt, live, version, reason)
            await self._slots.old_stopped(attempt, version)
            event = Event.OLD_STOPPED
        attempt.on(event, command)
        return await self._launcher.launch(version, on_started, on_taken)

    async def _make_way(self, attempt: RunningAttempt, live: Version, version: Version, reason: str) -> None:
        attempt.on(Event.ALONE, f"{describe(live)} makes way: {reason}")
        await self.stop_side_runs(attempt)
        # `pause` comes before `hold`: if this is cancelled, only `resume` after a `pause` ends the hold.
        old = await self._supervisor.pause()
        await self._mode.traffic.hold(longest_hold_s(live, version))
        if old:
            await self._retire(attempt, old)
        attempt.summarize(f"stopped first: {reason}")

    async def _retire(self, attempt: RunningAttempt, old: Release) -> None:
        budget_s = old.version.config.drain_timeout_s
        retired = await retire(self._mode.traffic, old, budget_s)
        attempt.count(retired.counts)
        attempt.summarize(_retired_in_words(retired, budget_s))
        if survivors := old.survivors:
            attempt.warn(f"cannot end {', '.join(survivors)}: {SURVIVES}")


def watched_row(attempt: RunningAttempt, version: Version, before: State) -> Candidate:
    since_s = asyncio.get_running_loop().time()
    return Candidate(version, attempt.record.id, now(), since_s, "watched", before=before)


def longest_hold_s(old: Version, new: Version) -> float:
    """Enough for the old version to drain, the new one to fail, and the old one to come back."""
    start_s = another_port.longest_s(new) + rehearsal.longest_s(new)
    return old.config.drain_timeout_s + start_s + another_port.longest_s(old) + HOLD_MARGIN_S


def _retired_in_words(retired: Retired, budget_s: float) -> str:
    words = [_counts_in_words(retired.counts) if retired.counts else "stopped"]
    if not retired.drained:
        words.append("requests were still in flight at half of the budget")
    if retired.killed:
        words.append(f"killed after {budget_s:g} s")
    return "; ".join(words)


def _counts_in_words(counts: Counts) -> str:
    words = [f"{counts.finished} finished, {counts.cut - counts.cut_streams} dropped"]
    if counts.cut_streams:
        words.append(f"{counts.cut_streams} streams ended")
    if counts.replayed:
        words.append(f"{counts.replayed} replayed")
    if counts.refused:
        words.append(f"{counts.refused} refused")
    return ", ".join(words)
