"""The stories of deploys, rollbacks and restarts: prepare a tree, start it, prove it healthy, switch, drain."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from slot_machine.app.abort import Aborted, abort
from slot_machine.app.already_live import AlreadyLive
from slot_machine.app.attempt import Report, RunningAttempt
from slot_machine.app.attempts import Attempts
from slot_machine.app.candidates import Candidates, check_can_hold
from slot_machine.app.commits import Commits
from slot_machine.app.configurations import Configurations
from slot_machine.app.failures import going_on
from slot_machine.app.going_back import Parts
from slot_machine.app.inspection import Inspection
from slot_machine.app.judging import Gather
from slot_machine.app.notices import NOBODY, Notices
from slot_machine.app.operations import Operations
from slot_machine.app.outcomes import PLAIN, Done, Outcome, Unchanged, Wishes
from slot_machine.app.placing import Placing
from slot_machine.app.preflight import Preflight
from slot_machine.app.recovery import Recovery
from slot_machine.app.rehearsal import Rehearsal, Visits
from slot_machine.app.release import Release, describe
from slot_machine.app.retirement import retire
from slot_machine.app.rollout import Rollout
from slot_machine.app.seams import Starter, TrafficMode, Trees
from slot_machine.app.sharing import Sharing
from slot_machine.app.slots import Slots
from slot_machine.app.supervisor import Supervisor
from slot_machine.app.targets import Targets
from slot_machine.app.undo import Undo
from slot_machine.app.watching import Left, Watching
from slot_machine.core import own_limits
from slot_machine.core.errors import Impossible, NothingToRestart, NothingToRollBackTo, StageFailed, Stopping
from slot_machine.core.model import State, Version
from slot_machine.core.origin import UNKNOWN, Origin
from slot_machine.core.phases import Event, Phase
from slot_machine.host.files.kept import in_words
from slot_machine.state.store import Store

SCHEDULERS_RUN = (
    "the held version runs: what its web process itself does in the background, such as a scheduler or a consumer of a"
    " queue, runs now beside that of the live version; its processes and jobs begin when it is promoted"
)

T = TypeVar("T")


async def agreed() -> None:
    """Refuses nothing."""


class Deployer:
    def __init__(
        self,
        configurations: Configurations,
        worktrees: Trees,
        slots: Slots,
        store: Store,
        launcher: Starter,
        mode: TrafficMode,
        supervisor: Supervisor,
        commits: Commits,
        tasks: asyncio.TaskGroup,
        notices: Notices = NOBODY,
        *,
        visits: Visits,
        gather: Gather,
        spare_tree: bool,
        hold_timeout_s: float,
        address: str = "",
    ) -> None:
        self._tasks = tasks
        self._configurations = configurations
        self._worktrees = worktrees
        self._slots = slots
        self._store = store
        self._launcher = launcher
        self._mode = mode
        self._supervisor = supervisor
        self._preflight = preflight = Preflight(worktrees, store, tasks)
        self.commits = commits
        self.operations = Operations(tasks)
        undo = Undo(store, supervisor, slots, preflight)
        self.attempts = Attempts(store, self.operations, supervisor, preflight, undo, launcher.masking, notices)
        self.candidates = Candidates(
            store, launcher, mode.traffic, self.attempts, tasks, hold_timeout_s, address, gather
        )
        supervisor.warn = self.attempts.warn
        self._inspection = Inspection(slots, self.attempts, tasks)
        supervisor.on_restart = self._inspection.begin
        self.rollout = Rollout(store, slots, launcher, mode, supervisor)
        parts = Parts(store, slots, launcher, mode, supervisor, self.candidates, self.rollout)
        self.watching = Watching(parts, gather)
        self._sharing = Sharing(store, mode, self.attempts, self.candidates, self.rollout, commits)
        self._visits = visits
        self._rehearsal = Rehearsal(launcher, supervisor, visits)
        self._placing = Placing(store, slots, preflight, spare_tree)
        self._targets = Targets(store, worktrees, configurations)
        self._already_live = AlreadyLive(store, worktrees, configurations, launcher, supervisor)
        self.recovery = Recovery(
            store,
            slots,
            launcher,
            mode.traffic,
            supervisor,
            preflight,
            self.attempts,
            self._placing,
            self.rollout,
            self.commits,
            self.candidates,
            self.watching,
        )

    @property
    def state(self) -> State:
        return self._store.state()

    def lack(self) -> str:
        """What room the next deploy lacks, in words; empty if there is enough. Raises OSError, sqlite3.Error."""
        state = self.state
        return self._preflight.lack(Version(state.idle_slot, "", state.spare_tree))

    @property
    def previous_ready(self) -> bool:
        """Whether a rollback finds its slot as the previous version left it."""
        previous = self.state.previous
        return previous is not None and self._slots.holds(previous)

    @property
    def shared(self) -> dict[str, str]:
        """For the status: what the live version's tree has at each path of shared data."""
        live = self.state.live
        return self._slots.shared_in_words(live) if live else {}

    def deploy(
        self,
        commitish: str,
        trigger: str,
        report: Report,
        wishes: Wishes = PLAIN,
        origin: Origin = UNKNOWN,
        check: Callable[[], Awaitable[None]] = agreed,
    ) -> "asyncio.Task[Outcome]":
        """Raises Busy, Stopping, Impossible. The task returns what came of it.

        `check` may refuse it, while nothing else can begin or switch.
        """
        self.operations.check_free()
        if wishes.hold and self._mode.no_hold:
            raise Impossible(f"no version can be held: {self._mode.no_hold}", "deploy without --hold")
        early = _early(wanted=wishes.detach)

        async def story() -> Done | Unchanged:
            if wishes.if_known:
                await self._found(self._worktrees.resolve(commitish))
            await self._found(check())
            if wishes.if_changed and (live := await self._found(self._already_live.find(commitish))):
                previous = self.state.previous
                return Unchanged(live, previous.commit if previous else "")
            async with self.attempts.begin("deploy", trigger, report, origin) as attempt:
                attempt.holds, attempt.early = wishes.hold, early
                attempt.on(Event.DEPLOY, commitish)
                state = self.state
                commit = await self._worktrees.resolve(commitish)
                attempt.describe(await self.commits.of(commit), origin.naming(commitish, commit))
                attempt.aim(Version(state.idle_slot, commit, state.spare_tree))
                config, warnings = await self._configurations.of(commit)
                version = Version(state.idle_slot, commit, state.spare_tree, config)
                attempt.aim(version)
                for warning in (*warnings, *own_limits.too_short(config)):
                    attempt.warn(warning)
                self._check_environment(attempt, version)
                if wishes.hold:
                    check_can_hold(config, after_release=wishes.hold_after_release)
                attempt.on(Event.RESOLVED, describe(version))
                self.attempts.resolved(attempt)
                await self.candidates.make_room(attempt)
                version = await self._placing.place(attempt, version)
                await self._check_memory(attempt, version)
                await self._slots.prepare(attempt, version, force_setup=wishes.force_setup)
                event = await self.rollout.run_release_command(attempt, version)
                return await (self._hold if wishes.hold else self._go_live)(attempt, event, version)

        return self._answered(self.operations.begin(story()), early)

    def promote(
        self, trigger: str, report: Report, origin: Origin = UNKNOWN, *, detach: bool = False
    ) -> "asyncio.Task[Outcome]":
        """Makes the candidate live that is held. It is asked for its health once, and nothing is started.

        During a watch, it ends that, and the new version is to stay.

        Like `deploy`. Raises Busy, Stopping, NothingHeld, Impossible for one that has failed.
        """
        if self.operations.watches:
            self.operations.check_open()
            self.watching.keep(origin.who)
            return self._tasks.create_task(self._kept())
        self.operations.check_free()
        version, early = self.candidates.check_held().version, _early(wanted=detach)

        async def story() -> Done:
            async with self.attempts.begin("promote", trigger, report, origin) as attempt:
                before, attempt.early = self.state, early
                attempt.describe(self.commits.known(version.commit))
                attempt.aim(version)
                attempt.on(Event.PROMOTE, f"asking {describe(version)} once more")
                async with self.candidates.taken() as candidate:
                    await self.rollout.check_health(candidate)
                    old = await self._switch(attempt, before, candidate)
                return await self._watch_and_finish(attempt, before, candidate.version, old)

        return self._answered(self.operations.begin(story()), early)

    async def _kept(self) -> Outcome:
        outcome = await self.operations.outcome()
        assert isinstance(outcome, Outcome)
        return outcome._replace(kind="promote") if isinstance(outcome, Done) else outcome

    def share(self, share: int, trigger: str, report: Report, origin: Origin = UNKNOWN) -> "asyncio.Task[Outcome]":
        """Lets `share` of 10,000 visitors have the candidate, which stays one.

        Like `promote`. Raises Impossible also for a share that is smaller than before.
        """
        self.operations.check_free()
        self._sharing.check(share)
        return self.operations.begin(self._sharing.share(share, trigger, report, origin))

    async def abort(self, origin: Origin = UNKNOWN) -> Aborted:
        """Raises NothingHeld, Stopping, StageFailed."""
        return await abort(self.operations, self.candidates, origin)

    def rollback(self, trigger: str, report: Report, origin: Origin = UNKNOWN, to: str = "") -> "asyncio.Task[Outcome]":
        """To the previous version, or to the version that `to` names as `Targets` says.

        Like `deploy`. Raises Busy, Stopping, NothingToRollBackTo.
        """
        self.operations.check_free()
        previous = self.state.previous
        if not previous and not to:
            raise NothingToRollBackTo("there is no previous version to roll back to", "deploy one")

        async def story() -> Done:
            version = await self._found(self._targets.version(to)) if to else previous
            assert version
            async with self.attempts.begin("rollback", trigger, report, origin) as attempt:
                attempt.describe(self.commits.known(version.commit))
                attempt.aim(version)
                if released := self.attempts.released_since(version):
                    what = f"release commands ran since {describe(version)} was deployed, and are not undone"
                    attempt.warn(f"{what}: {in_words(released)}")
                self._check_environment(attempt, version)
                await self.candidates.make_room(attempt)
                if version != previous:
                    return await self._roll_back_further(attempt, version)
                usable = await self._slots.untouched(attempt, version)
                version = version if usable else self._placing.place_again(attempt, version)
                event = await self._placing.make_ready(attempt, version, usable=usable)
                return await self._go_live(attempt, event, version)

        return self.operations.begin(story())

    def restart(
        self,
        trigger: str,
        report: Report,
        warnings: Iterable[str] = (),
        origin: Origin = UNKNOWN,
        cause: str = "",
    ) -> "asyncio.Task[Outcome]":
        """Starts the live version afresh from its tree, with what `env_file` has now; nothing is prepared.

        Like `deploy`. `warnings` are told with it, and the history keeps the `cause`. Raises Busy, Stopping,
        NothingToRestart.
        """
        self.operations.check_free()
        live = self.state.live
        if not live:
            raise NothingToRestart("nothing is live, so there is nothing to restart", "deploy a commit")

        async def story() -> Done:
            async with self.attempts.begin("restart", trigger, report, origin) as attempt:
                attempt.record.cause = cause
                attempt.describe(self.commits.known(live.commit))
                attempt.aim(live)
                for warning in warnings:
                    attempt.warn(warning)
                self._check_environment(attempt, live)
                await self._slots.check_holds(live)
                self._slots.warn_of_build(attempt, live)
                await self.candidates.make_room(attempt)
                await self._check_memory(attempt, live)
                await self._slots.mend(attempt, live)
                return await self._go_live(attempt, Event.REUSE, live)

        return self.operations.begin(story())

    @property
    def env_changed(self) -> bool:
        """Whether the variables in `env_file` are others than those that the live app was started with."""
        release = self._supervisor.release
        if not release or not release.running:
            return False
        return release.web.env_digest != self._launcher.env_file_digest()

    def recover(self) -> "asyncio.Task[None]":
        """When the daemon starts. The task ends when the live version serves, or is being tried again.

        A watch that an earlier daemon began goes on after that.
        """

        async def story() -> None:
            await self.recovery.recover()
            if left := self.watching.left:
                self.operations.begin(self._watch_on(left))

        return self.operations.begin_unanswered(story())

    async def stop(self) -> None:
        """Breaks off the operation that runs, unless it has switched; then drains and stops the live version."""
        self.operations.refuse_more(Stopping)
        self._preflight.cancel()
        self._inspection.cancel()
        began_s = time.monotonic()
        await self.operations.abandon()
        ending = asyncio.create_task(self.candidates.stop())
        live = await self._supervisor.pause()
        self._supervisor.end_side_runs()
        ends_s = began_s + (live.version.config.drain_timeout_s if live else 0)
        if live:
            with going_on(f"cannot drain {describe(live.version)}"):
                await retire(self._mode.traffic, live, ends_s - time.monotonic())
        await self.operations.idle()
        await ending
        # An earlier daemon may have left releases that a recovery did not get to.
        with going_on("cannot end what an earlier daemon left"):
            await self._supervisor.retirees.all_gone()
            self._supervisor.retirees.begin(self._launcher.left_retiring())
            for release in self._launcher.left_running():
                self._supervisor.retirees.begin(release.take_side_runs())
                await release.stop(began_s + release.version.config.drain_timeout_s - time.monotonic())
        await self._supervisor.retirees.all_gone()

    async def let_go(self) -> None:
        """Leaves the live version running, for the daemon that takes over."""
        self._preflight.cancel()
        self.candidates.let_go()
        await self._supervisor.let_go()
        self._inspection.cancel()

    async def _found(self, finding: Awaitable[T]) -> T:
        """What is looked for before the attempt begins. Raises Stopping if the daemon stops meanwhile."""
        try:
            return await finding
        except asyncio.CancelledError:
            if self.operations.ending:
                raise Stopping from None
            raise

    async def _roll_back_further(self, attempt: RunningAttempt, version: Version) -> Done:
        """To a version that no slot has any more."""
        attempt.on(Event.PREPARE_AGAIN, describe(version))
        version = await self._placing.place(attempt, version)
        await self._check_memory(attempt, version)
        await self._slots.prepare(attempt, version)
        return await self._go_live(attempt, Event.PREPARED, version)

    async def unusable(self, commit: str) -> str:
        """Why no deploy of the commit can succeed, by its own file. Empty if it may. Raises GitFailed."""
        try:
            await self._configurations.of(commit)
        except StageFailed as error:
            return str(error)
        return ""

    def _check_environment(self, attempt: RunningAttempt, version: Version) -> None:
        """Before anything is touched. Raises StageFailed."""
        stage = Phase.START if attempt.phase is Phase.IDLE else attempt.phase
        dropped = self._launcher.dropped_variables(version, stage)
        if dropped:
            attempt.warn(f"/bin/sh does not hand on these variables of env_file, for their names: {', '.join(dropped)}")

    async def _check_memory(self, attempt: RunningAttempt, version: Version) -> None:
        """Warns if two versions at once may not fit into memory."""
        live = self._supervisor.release
        if not live or not self._supervisor.running or await self._mode.reason_to_stop_first(version):
            return
        if self.watching.wanted(attempt, version, live.version):
            attempt.output(f"both versions run in the watch, which takes {self._preflight.memory_of(live)} more")
        if warning := self._preflight.memory_warning(live):
            attempt.warn(warning)

    async def _hold(self, attempt: RunningAttempt, event: Event, version: Version) -> Done:
        live = self.state.live
        candidate = await self.rollout.bring_up(attempt, event, version, live)
        await self._rehearsal.run(attempt, candidate)
        try:
            url = await self.candidates.hold(candidate, attempt.record.id)
        except BaseException:
            await candidate.stop(version.config.drain_timeout_s / 2)
            raise
        attempt.warn(SCHEDULERS_RUN)
        attempt.on(Event.HOLD)
        return Done("deploy", version, live.commit if live else "", "", attempt.warnings, held=True, preview_url=url)

    async def _go_live(self, attempt: RunningAttempt, event: Event, version: Version) -> Done:
        before = self.state
        live = before.live
        candidate = await self.rollout.bring_up(attempt, event, version, live)
        await self._rehearsal.run(attempt, candidate)
        old = await self._switch(attempt, before, candidate)
        return await self._watch_and_finish(attempt, before, candidate.version, old)

    async def _switch(self, attempt: RunningAttempt, before: State, candidate: Release) -> Release | None:
        watched = self.watching.wanted(attempt, candidate.version, before.live)
        return await self.rollout.promote(attempt, candidate, watched=watched)

    async def _watch_and_finish(
        self, attempt: RunningAttempt, before: State, version: Version, old: Release | None
    ) -> Done:
        commit = before.live.commit if before.live else ""

        def done(*, watched: bool = False) -> Done:
            record = attempt.record
            return Done(record.kind, version, commit, record.requests, attempt.warnings, watched=watched)

        def began() -> None:
            if attempt.early:
                attempt.early.set_result(done(watched=True))

        if self.watching.wanted(attempt, version, before.live):
            since_s = asyncio.get_running_loop().time()
            await self.watching.run(attempt, before, version, old, since_s, began)
        else:
            # What visitors saw of another version in its slot is not to count in the next watch.
            self._tasks.create_task(self._visits.look())
        await self.rollout.finish(attempt, before, old)
        return done()

    def _answered(
        self, task: "asyncio.Task[Outcome]", early: "asyncio.Future[Outcome] | None"
    ) -> "asyncio.Task[Outcome]":
        """A task that also ends with `early`."""
        if early is None:
            return task

        async def first() -> Outcome:
            await asyncio.wait([task, early], return_when=asyncio.FIRST_COMPLETED)
            return early.result() if early.done() else task.result()

        return self._tasks.create_task(first())

    async def _watch_on(self, left: Left) -> Done:
        before = left.before
        async with self.attempts.reopen(left.candidate) as attempt:
            await self.watching.go_on(attempt, left)
            await self.rollout.finish(attempt, before, left.old)
            commit = before.live.commit if before.live else ""
            return Done(attempt.record.kind, left.candidate.version, commit, "", attempt.warnings)


def _early(*, wanted: bool) -> "asyncio.Future[Outcome] | None":
    return asyncio.get_running_loop().create_future() if wanted else None
