"""The story of a deploy: prepare the idle slot, start it, prove it healthy, move the traffic, drain the old one."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

from slot_machine.app.attempt import Report, RunningAttempt, now
from slot_machine.app.preflight import Preflight
from slot_machine.app.release import Release, describe
from slot_machine.app.seams import Starter, TrafficMode, Trees
from slot_machine.app.slots import Slots
from slot_machine.app.supervisor import Retired, Supervisor, going_on, in_words, log_failure, retire
from slot_machine.core.config import Config
from slot_machine.core.errors import (
    Busy,
    Cancelled,
    KeeperGone,
    NothingToCancel,
    NothingToRollBackTo,
    Refused,
    SlotMachineError,
    StageFailed,
    Stopping,
    Unsteerable,
)
from slot_machine.core.model import Attempt, Kind, State, Version, short
from slot_machine.core.phases import TABLE, Event, Phase
from slot_machine.core.upstream import Counts
from slot_machine.host.process.session import SURVIVES
from slot_machine.state.store import Store

log = logging.getLogger(__name__)


class Done(NamedTuple):
    kind: Kind
    version: Version
    previous_commit: str
    requests: Counts | Literal[""] = ""
    warnings: tuple[str, ...] = ()


Outcome = Done | SlotMachineError


class Deployer:
    """One operation at a time."""

    def __init__(
        self,
        config: Config,
        worktrees: Trees,
        slots: Slots,
        store: Store,
        launcher: Starter,
        mode: TrafficMode,
        supervisor: Supervisor,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._config = config
        self._worktrees = worktrees
        self._store = store
        self._launcher = launcher
        self._mode = mode
        self._traffic = mode.traffic
        self._supervisor = supervisor
        self._tasks = tasks
        self._refusal: type[Stopping] | None = None
        self._task: asyncio.Task[Outcome] | asyncio.Task[None] | None = None
        self._slots = slots
        self._preflight = Preflight(worktrees, store, tasks)
        self._unsaved: Attempt | None = None
        self.running: RunningAttempt | None = None

    def deploy(self, commitish: str, trigger: str, report: Report) -> "asyncio.Task[Outcome]":
        """Raises Busy, Stopping. The task ends with what came of it; it never raises a SlotMachineError."""
        self.check_free()

        async def story() -> Done:
            async with self._attempt("deploy", trigger, report) as attempt:
                attempt.on(Event.DEPLOY, commitish)
                state = self.state
                version = Version(state.idle_slot, await self._worktrees.resolve(commitish), state.spare_tree)
                attempt.aim(version)
                self._check_environment(attempt, version)
                attempt.on(Event.RESOLVED, describe(version))
                version = await self._check_room(attempt, version)
                await self._slots.prepare(attempt, version)
                return await self._go_live(attempt, Event.PREPARED, version)

        return self._begin(story())

    def rollback(self, trigger: str, report: Report) -> "asyncio.Task[Outcome]":
        """Like `deploy`. Raises Busy, Stopping, NothingToRollBackTo."""
        self.check_free()
        previous = self.state.previous
        if not previous:
            raise NothingToRollBackTo("there is no previous version to roll back to", "deploy one")

        async def story() -> Done:
            async with self._attempt("rollback", trigger, report) as attempt:
                attempt.aim(previous)
                self._check_environment(attempt, previous)
                usable = await self._slots.untouched(attempt, previous)
                version = previous if usable else self._prepared_again(attempt, previous)
                event = await self._prepared(attempt, version, usable)
                return await self._go_live(attempt, event, version)

        return self._begin(story())

    async def cancel(self) -> Attempt:
        """Abandons what runs, and returns it when it has ended. Raises NothingToCancel, Stopping."""
        # What was begun in this turn of the loop has begun its attempt after it.
        await asyncio.sleep(0)
        if self._refusal:
            raise self._refusal()
        task, attempt = self._task, self.running
        if not task or not attempt:
            raise NothingToCancel("no deploy runs, so nothing was cancelled")
        if not attempt.cancelled:
            self._check_cancellable(attempt)
            # No await since that check: what is cancelled in a stage does not reach the next one.
            attempt.cancelled = True
            task.cancel()
        await asyncio.wait([task])
        if attempt.phase is Phase.INTERRUPTED:
            raise Stopping
        if attempt.phase is not Phase.CANCELLED:
            raise NothingToCancel(f"the {attempt.record.kind} ended before it could be cancelled: {attempt.phase}")
        return attempt.record

    def _check_cancellable(self, attempt: RunningAttempt) -> None:
        """Raises NothingToCancel."""
        kind = attempt.record.kind
        if kind == "recovery" or Event.CANCEL not in TABLE[attempt.phase]:
            what = f"{kind} of {short(attempt.record.commit)}, stage {attempt.phase.stage}"
            raise NothingToCancel(
                f"too late to cancel ({what})", "wait until it has ended; `slot-machine status` tells"
            )

    def recover(self) -> "asyncio.Task[None]":
        """Takes over what an earlier daemon left running, and brings the live version back if it was not among it."""
        self._task = self._tasks.create_task(self._recover())
        return self._task

    async def _recover(self) -> None:
        version = self.state.live
        # An earlier daemon may have been killed right after it saved the state.
        self._slots.link()
        with going_on("cannot take over what an earlier daemon left"):
            self._preflight.measure_unknown()
            await self._take_over(version)
        if version and not self._supervisor.watching:
            await self._bring_back(version)

    async def _bring_back(self, version: Version) -> None:
        try:
            async with self._attempt("recovery", "start", lambda _: None) as attempt:
                attempt.aim(version)
                event = await self._prepared(attempt, version, await self._slots.checked_out(version))
                attempt.on(event, self._config.start_command)
                release = await self._launcher.launch(version, lambda: attempt.on(Event.STARTED, self._health))
                try:
                    attempt.on(Event.HEALTHY, describe(version))
                    await self._traffic.route(release.upstream)
                except BaseException:
                    await release.stop(0)
                    raise
                self._supervisor.watch(release)
                self._slots.link()
                attempt.on(Event.SWITCHED)
                attempt.on(Event.DRAINED)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            if not self._supervisor.watching:
                log_failure(f"cannot bring back {describe(version)}", error)
                with going_on("cannot tell that nothing is live"):
                    await self._traffic.route(None)
                self._supervisor.retry(version, in_words(error))

    async def _take_over(self, live: Version | None) -> None:
        """Watches the live version if it runs. All else that runs is ended: a candidate, or one that was drained.

        The state says which is which: the traffic may have been switched and that not been saved.
        """
        releases = self._launcher.left_running()
        found = next((release for release in releases if self._goes_on(release, live)), None)
        if found:
            log.info("took over %s, which runs as pid %d", describe(found.version), found.session.pid)
            await self._supervisor.take_over(found)
        elif live:
            # What an earlier daemon held goes on waiting.
            with going_on("cannot hold requests"):
                await self._traffic.hold()
        else:
            with going_on("cannot tell that nothing is live"):
                await self._traffic.route(None)
        for release in releases:
            if release is found:
                continue
            log.warning("ending %s, left over from a daemon that did not stop cleanly", describe(release.version))
            with going_on(f"cannot clear away {describe(release.version)}"):
                if release.upstream and release.running:
                    await retire(self._traffic, release, self._config.drain_timeout_s)
                else:
                    await release.stop(0)

    def _goes_on(self, release: Release, live: Version | None) -> bool:
        return bool(
            release.version == live and release.upstream and release.running and self._launcher.can_adopt(release)
        )

    @property
    def state(self) -> State:
        return self._store.state()

    @property
    def last_attempt(self) -> Attempt | None:
        if self.running:
            return self.running.record
        return self._unsaved or next(iter(self._store.attempts(limit=1)), None)

    @property
    def previous_ready(self) -> bool:
        """Whether a rollback finds its slot as the previous version left it."""
        previous = self.state.previous
        return previous is not None and self._slots.holds(previous)

    def check_free(self) -> None:
        """Raises Busy, Stopping."""
        if self._refusal:
            raise self._refusal()
        if self._task and not self._task.done():
            running = self.running.record if self.running else None
            what = f"{running.kind} of {short(running.commit) or '...'}, stage {running.stage}" if running else "deploy"
            raise Busy(f"another deploy runs ({what})", "wait until it has ended, or end it with `slot-machine cancel`")

    def refuse_more(self, refusal: type[Stopping]) -> None:
        """From here on, everything is refused with that."""
        self._refusal = refusal

    async def idle(self) -> None:
        """Waits for the end of what runs now."""
        if self._task:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Abandons what runs, drains and ends the live version. A deploy that has switched is let finish."""
        self.refuse_more(Stopping)
        self._preflight.cancel()
        began_s = time.monotonic()
        operation, switched = self._task, self.running is not None and self.running.phase is Phase.DRAIN
        if operation and not operation.done() and not switched:
            operation.cancel()
            await asyncio.wait([operation])
        live = await self._supervisor.pause()
        if live:
            with going_on(f"cannot drain {describe(live.version)}"):
                await retire(self._traffic, live, self._config.drain_timeout_s - (time.monotonic() - began_s))
        if operation and not operation.done():
            await asyncio.wait([operation])
        # What an earlier daemon left and this one did not get to.
        with going_on("cannot end what an earlier daemon left"):
            for release in self._launcher.left_running():
                await release.stop(self._config.drain_timeout_s - (time.monotonic() - began_s))

    async def let_go(self) -> None:
        """Ends all of it but what runs, for the daemon that takes over."""
        self._preflight.cancel()
        await self._supervisor.let_go()

    async def _check_room(self, attempt: RunningAttempt, version: Version) -> Version:
        """Returns where it is prepared. Raises StageFailed.

        Not before a rollback or a recovery: nothing is to keep these from being tried.
        """
        version = await self._placed(attempt, version)
        live = self._supervisor.release
        if not live or not self._supervisor.running or await self._mode.reason_to_stop_first():
            return version
        if warning := self._preflight.memory_warning(live):
            attempt.warn(warning)
        return version

    async def _placed(self, attempt: RunningAttempt, version: Version) -> Version:
        """In the spare tree; in that of the previous version, which is overwritten, where there can be no third one."""
        previous = self.state.previous
        fits = await self._fits(attempt, version)
        if not previous or (fits and self._config.spare_tree):
            self._preflight.check_disk(version)
            return version
        obstacle = self._obstacle(version)
        instead = Version(version.slot, version.commit, previous.tree)
        if not self._config.spare_tree or not await self._fits(attempt, instead):
            await self._slots.discard(attempt, version.tree)
        self._preflight.check_disk(instead)
        if self._slots.holds(previous):
            attempt.warn(f"{obstacle}, so {describe(previous)} is overwritten: a rollback to it prepares it again")
        attempt.aim(instead)
        return instead

    async def _fits(self, attempt: RunningAttempt, version: Version) -> bool:
        """Once it was measured again, and what failed deploys wrote into its tree was removed, if need be."""
        if self._preflight.lack(version):
            await self._preflight.measure_again(version.tree)
        if self._preflight.lack(version):
            await self._slots.take_back(attempt, version.tree)
        return not self._preflight.lack(version)

    def _obstacle(self, version: Version) -> str:
        """Why there can be no spare tree for it; empty if there can."""
        if not self._config.spare_tree:
            return "spare_tree is false"
        return "there is no room for a third tree" if self._preflight.lack(version) else ""

    def _prepared_again(self, attempt: RunningAttempt, previous: Version) -> Version:
        """Where that is done: not in its own tree, if there is something left in it to lose."""
        version = Version(previous.slot, previous.commit, self.state.spare_tree)
        if not self._slots.holds(previous) or self._obstacle(version):
            return previous
        attempt.aim(version)
        return version

    async def _prepared(self, attempt: RunningAttempt, version: Version, usable: bool) -> Event:
        """Prepares a tree again if it is not `usable` as it is; returns the event that its start comes with."""
        if usable:
            return Event.REUSE
        attempt.on(Event.PREPARE_AGAIN, describe(version))
        await self._slots.prepare(attempt, version)
        return Event.PREPARED

    async def _go_live(self, attempt: RunningAttempt, event: Event, version: Version) -> Done:
        before = self.state
        live = before.live
        release = await self._start(attempt, event, version, live)
        for doubt in release.listeners.doubts:
            attempt.warn(doubt)
        old = await self._promote(release, attempt)
        attempt.on(Event.SWITCHED, f"{describe(old.version)}" if old else "nothing to drain")
        if old:
            await self._drain(attempt, old)
        with going_on("cannot see to what the app wrote into its tree"):
            await self._slots.left(attempt, before)
        attempt.on(Event.DRAINED)
        commit = live.commit if live else ""
        return Done(attempt.record.kind, version, commit, attempt.record.requests, attempt.warnings)

    async def _start(self, attempt: RunningAttempt, event: Event, version: Version, live: Version | None) -> Release:
        """Beside the live version if that can be."""
        reason = await self._mode.reason_to_stop_first() if live else ""
        if live and not reason:
            try:
                attempt.on(event, self._config.start_command)
                return await self._launcher.launch_beside(version, lambda: attempt.on(Event.STARTED, self._health))
            except (Unsteerable, KeeperGone) as obstacle:
                reason = str(obstacle)
        if live:
            await self._make_way(attempt, live, reason)
            event = Event.OLD_STOPPED
        attempt.on(event, self._config.start_command)
        return await self._launcher.launch(version, lambda: attempt.on(Event.STARTED, self._health))

    def _check_environment(self, attempt: RunningAttempt, version: Version) -> None:
        """Before anything is touched. Raises StageFailed."""
        stage = Phase.START if attempt.phase is Phase.IDLE else attempt.phase
        dropped = self._launcher.dropped_variables(version, stage)
        if dropped:
            attempt.warn(f"/bin/sh does not hand on these variables of env_file, for their names: {', '.join(dropped)}")

    async def _make_way(self, attempt: RunningAttempt, live: Version, reason: str) -> None:
        attempt.on(Event.ALONE, f"{describe(live)} makes way: {reason}")
        # In this order, as it is the end of a pause that ends a hold when this is broken off.
        old = await self._supervisor.pause()
        await self._traffic.hold()
        if old:
            await self._retire(old, attempt)
        attempt.outcome(f"stopped first: {reason}")

    async def _promote(self, release: Release, attempt: RunningAttempt) -> Release | None:
        """Moves the traffic and saves that it moved. Returns the version it replaced, if that still runs.

        When the state can't be saved, the old version stays: what `status` says must be true after a restart, too.
        """
        old, routed = None, False
        try:
            attempt.on(Event.HEALTHY, f"traffic to {describe(release.version)}")
            old = await self._supervisor.pause()
            if not release.running:
                raise StageFailed(Phase.SWITCH, "the app ended right after it was healthy")
            self._launcher.check(release)
            routed = True
            attempt.count(await self._traffic.route(release.upstream))
            self._store.save_state(self.state.promoted(release.version, now()))
        except BaseException:
            try:
                if routed:
                    await self._traffic.route(old.upstream if old else None)
            finally:
                await release.stop(self._config.drain_timeout_s / 2)
            raise
        self._supervisor.watch(release)
        self._slots.link()
        return old

    async def _drain(self, attempt: RunningAttempt, old: Release) -> None:
        """Nothing fails once it has switched."""
        try:
            await self._retire(old, attempt)
        except Exception as error:  # noqa: BLE001 - see above
            log_failure(f"cannot drain {describe(old.version)}", error)
            attempt.warn(f"{describe(old.version)} was not drained in full: {in_words(error)}")

    async def _retire(self, release: Release, attempt: RunningAttempt) -> None:
        budget_s = self._config.drain_timeout_s
        retired = await retire(self._traffic, release, budget_s)
        attempt.count(retired.counts)
        attempt.outcome(_drain_in_words(retired, budget_s))
        if survivors := release.session.survivors:
            attempt.warn(f"cannot end {', '.join(survivors)}: {SURVIVES}")

    @asynccontextmanager
    async def _attempt(self, kind: Kind, trigger: str, report: Report) -> AsyncIterator[RunningAttempt]:
        """Ends the attempt in the history however it ends, and the live version serving if it failed."""
        self._save_unsaved()
        attempt = RunningAttempt(Attempt(id=0, kind=kind, trigger=trigger, started_at=now()), self._store, report)
        self.running = attempt
        self._supervisor.monitor.deploying = True
        error: SlotMachineError | None = None
        try:
            yield attempt
        except asyncio.CancelledError:
            error = self._cancelled(attempt)
        except Exception as cause:  # noqa: BLE001 - whatever it is, the live version must go on
            error = _translated(cause, attempt)
        try:
            if error:
                await self._undo(attempt, error)
        except asyncio.CancelledError:
            attempt.on(Event.ABANDON)
        except Exception as failure:  # noqa: BLE001 - the history must know of its end
            log_failure("cannot bring back what was live", failure)
            await self._undo_blindly(attempt)
        finally:
            self.running = None
            self._supervisor.monitor.deploying = False
        try:
            attempt.end(str(error) if error else "")
        except Exception as failure:  # noqa: BLE001 - written before the next one begins
            log.error("cannot write the history: %s", failure)
            self._unsaved = attempt.record
        if attempt.version and Phase.CHECKOUT in attempt.record.stage_seconds and not self._refusal:
            self._preflight.measure(attempt.version.tree)
        if error:
            error.warnings = attempt.warnings
            raise error

    def _save_unsaved(self) -> None:
        """The end of an attempt that the database did not take, as when the disk was full. Raises sqlite3.Error."""
        if self._unsaved:
            self._store.save_attempt(self._unsaved)
            self._unsaved = None

    def _cancelled(self, attempt: RunningAttempt) -> Cancelled | Stopping:
        """By somebody who asked for it, else by the end of the daemon."""
        if not attempt.cancelled or self._refusal:
            return Stopping("the daemon stops, so this was abandoned", attempt.record.stage)
        task = asyncio.current_task()
        assert task
        task.uncancel()
        what_now = self._what_now(self._live_or_watched())
        return Cancelled(f"the {attempt.record.kind} was cancelled; {what_now}", attempt.record.stage)

    async def _undo(self, attempt: RunningAttempt, error: SlotMachineError) -> None:
        if attempt.phase is Phase.DRAIN or isinstance(error, Stopping):
            attempt.on(Event.ABANDON)
            return
        event = Event.CANCEL if isinstance(error, Cancelled) else Event.FAIL
        if attempt.phase is Phase.IDLE and event is Event.FAIL:
            attempt.on(Event.REUSE)
        attempt.outcome(str(error))
        live = self._live_or_watched()
        attempt.on(event, self._what_now(live))
        if attempt.phase in (Phase.RESTORE, Phase.CANCELLING):
            if live and attempt.record.kind == "recovery":
                with going_on("cannot tell that nothing is live"):
                    await self._traffic.route(None)
                self._supervisor.retry(live, in_words(error))
            elif live and not self._supervisor.watching:
                await self._supervisor.resume(live)
            if attempt.version and attempt.version != live and self._preflight.is_full():
                await self._slots.take_back(attempt, attempt.version.tree)
            attempt.on(Event.RESTORED)

    async def _undo_blindly(self, attempt: RunningAttempt) -> None:
        """What was live before is the latest that the supervisor watched."""
        restoring = (Phase.RESTORE, Phase.CANCELLING)
        if attempt.phase not in (*restoring, Phase.FAILED, Phase.CANCELLED):
            attempt.on(Event.FAIL)
        if attempt.phase in restoring:
            release = self._supervisor.release
            if release and not self._supervisor.watching:
                await self._supervisor.resume(release.version)
            attempt.on(Event.RESTORED)

    def _live_or_watched(self) -> Version | None:
        """When the database can't even be read, the latest that the supervisor watched. Raises nothing."""
        try:
            return self.state.live
        except sqlite3.Error as error:
            log.error("cannot read the database: %s", error)
            release = self._supervisor.release
            return release.version if release else None

    def _what_now(self, live: Version | None) -> str:
        if not live:
            return "nothing was live before"
        return f"{describe(live)} {'stays live' if self._supervisor.running else 'is started again'}"

    def _begin(self, story: Coroutine[None, None, Done]) -> "asyncio.Task[Outcome]":
        async def outcome() -> Outcome:
            try:
                return await story
            except SlotMachineError as error:
                return error
            except sqlite3.Error as error:
                return StageFailed("", f"cannot write the database, so nothing was begun: {error}")
            except Exception as error:  # noqa: BLE001 - the daemon lives
                log_failure("a deploy failed", error)
                return StageFailed("", in_words(error))

        self._task = self._tasks.create_task(outcome())
        return self._task

    @property
    def _health(self) -> str:
        return f"polling {self._config.health_endpoint}"


def _translated(cause: Exception, attempt: RunningAttempt) -> SlotMachineError:
    """Anything that breaks off a stage, in the words of that stage."""
    if isinstance(cause, Refused | StageFailed):
        return cause
    if isinstance(cause, sqlite3.Error):
        return StageFailed(attempt.phase.stage, f"cannot write the database: {cause}")
    if isinstance(cause, SlotMachineError | OSError):
        return StageFailed(attempt.phase.stage, str(cause), hint=getattr(cause, "hint", ""))
    log.error("%s failed", attempt.phase.stage, exc_info=cause)
    return StageFailed(
        attempt.phase.stage, f"unexpected {type(cause).__name__}: {cause}", hint="see the daemon's output"
    )


def _drain_in_words(retired: Retired, budget_s: float) -> str:
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
