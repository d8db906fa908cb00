"""What can be asked of an app: deploys, promotions, rollbacks and restarts, each a story in a module of its own."""

import asyncio
from collections.abc import Iterable

from slot_machine.app.abort import Aborted, abort
from slot_machine.app.already_live import AlreadyLive
from slot_machine.app.attempt import Report
from slot_machine.app.deploying import Asked, Check, Deploying, agreed
from slot_machine.app.ending import Ending
from slot_machine.app.going_live import GoingLive
from slot_machine.app.inspection import Inspection
from slot_machine.app.outcomes import PLAIN, Outcome, Wishes
from slot_machine.app.parts import Parts
from slot_machine.app.promoting import Promoting
from slot_machine.app.recovery import Recovery
from slot_machine.app.rehearsal import Rehearsal
from slot_machine.app.restarting import Restarting
from slot_machine.app.rolling_back import RollingBack
from slot_machine.app.sharing import Sharing
from slot_machine.app.targets import Targets
from slot_machine.app.watching import Watching
from slot_machine.core.model import State, Version
from slot_machine.core.origin import UNKNOWN, Origin


class Deployer:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.commits = parts.commits
        self.operations = parts.operations
        self.attempts = parts.attempts
        self.candidates = parts.candidates
        self.rollout = parts.rollout
        self.watching = Watching(parts)
        self.recovery = Recovery(parts, self.watching)
        store, trees, configurations = parts.store, parts.worktrees, parts.configurations
        self._live = GoingLive(parts, self.watching, Rehearsal(parts.launcher, parts.supervisor, parts.recorder))
        already_live = AlreadyLive(store, trees, configurations, parts.launcher, parts.supervisor)
        self._deploying = Deploying(parts, self._live, already_live)
        self._promoting = Promoting(parts, self._live, self.watching)
        self._rolling_back = RollingBack(parts, self._live, Targets(store, trees, configurations))
        self._restarting = Restarting(parts, self._live)
        self._sharing = Sharing(store, parts.mode, self.attempts, self.candidates, self.rollout, self.commits)
        inspection = Inspection(parts.slots, self.attempts, parts.tasks)
        self._ending = Ending(parts, inspection)
        parts.supervisor.warn = self.attempts.warn
        parts.supervisor.on_restart = inspection.begin

    @property
    def state(self) -> State:
        return self._parts.state

    def lack(self) -> str:
        """What room the next deploy lacks, in words; empty if there is enough. Raises OSError, sqlite3.Error."""
        state = self.state
        return self._parts.preflight.lack(Version(state.idle_slot, "", state.spare_tree))

    @property
    def previous_ready(self) -> bool:
        """Whether a rollback finds its slot as the previous version left it."""
        previous = self.state.previous
        return previous is not None and self._parts.slots.holds(previous)

    @property
    def shared(self) -> dict[str, str]:
        """For the status: what the live version's tree has at each path of shared data."""
        live = self.state.live
        return self._parts.slots.shared_in_words(live) if live else {}

    @property
    def env_changed(self) -> bool:
        """Whether the variables in `env_file` are others than those that the live app was started with."""
        release = self._parts.supervisor.release
        if not release or not release.running:
            return False
        return release.web.env_digest != self._parts.launcher.env_file_digest()

    async def unusable(self, commit: str) -> str:
        """Why no deploy of the commit can succeed, by its own file. Empty if it may. Raises GitFailed."""
        return await self._parts.configurations.unusable(commit)

    def deploy(
        self,
        commitish: str,
        trigger: str,
        report: Report,
        wishes: Wishes = PLAIN,
        origin: Origin = UNKNOWN,
        check: Check = agreed,
    ) -> "asyncio.Task[Outcome]":
        """Raises Busy, Stopping, Impossible. The task returns what came of it.

        `check` may refuse it, while nothing else can begin or switch.
        """
        return self._deploying.deploy(Asked(commitish, trigger, report, wishes, origin, check))

    def promote(
        self, trigger: str, report: Report, origin: Origin = UNKNOWN, *, detach: bool = False
    ) -> "asyncio.Task[Outcome]":
        """Makes the candidate live that is held. It is asked for its health once, and nothing is started.

        During a watch, it ends that, and the new version is to stay.

        Like `deploy`. Raises Busy, Stopping, NothingHeld, Impossible for one that has failed.
        """
        return self._promoting.promote(trigger, report, origin, detach=detach)

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
        return self._rolling_back.rollback(trigger, report, origin, to)

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
        return self._restarting.restart(trigger, report, warnings, origin, cause)

    def recover(self) -> "asyncio.Task[None]":
        """When the daemon starts. The task ends when the live version serves, or is being tried again.

        A watch that an earlier daemon began goes on after that.
        """

        async def story() -> None:
            await self.recovery.recover()
            if left := self.watching.left:
                self.operations.begin(self._live.watch_on(left))

        return self.operations.begin_unanswered(story())

    async def stop(self) -> None:
        """Breaks off the operation that runs, unless it has switched; then drains and stops the live version."""
        await self._ending.stop()

    async def let_go(self) -> None:
        """Leaves the live version running, for the daemon that takes over."""
        await self._ending.let_go()
