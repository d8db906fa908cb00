"""One app of this machine: its state, its trees, its releases and its traffic, put together."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import NamedTuple, Self

from slot_machine.app import room
from slot_machine.app.commits import Commits
from slot_machine.app.configurations import Configurations
from slot_machine.app.custody import Custody
from slot_machine.app.deliveries import Surroundings
from slot_machine.app.deployer import Deployer
from slot_machine.app.failures import going_on
from slot_machine.app.follow import Following
from slot_machine.app.job_machine import JobMachine
from slot_machine.app.job_run import Machine
from slot_machine.app.job_runs import JobRuns
from slot_machine.app.jobs import Jobs
from slot_machine.app.launcher import Launcher
from slot_machine.app.maintenance import Maintenance
from slot_machine.app.memory import MEMORY, MemoryWatch
from slot_machine.app.notices import notices_of
from slot_machine.app.one_offs import OneOffs
from slot_machine.app.opening import Found, Options
from slot_machine.app.parts import Given, Parts
from slot_machine.app.push_branch import Branches, PushBranch
from slot_machine.app.pushes import Pushes
from slot_machine.app.seams import Remote
from slot_machine.core.daemon_config import Follow
from slot_machine.core.errors import SlotMachineError
from slot_machine.host import timezone
from slot_machine.host.git import branches as git_branches
from slot_machine.host.git import remote as git_remote
from slot_machine.host.git.git import without_password
from slot_machine.host.process import containment, session
from slot_machine.host.process.containment import owner
from slot_machine.host.process.usage import Cpu

log = logging.getLogger(__name__)

REAP_INTERVAL_S = 2.0


class Cron(NamedTuple):
    """What jobs need of the machine: `now` is the time of its clock, in UTC."""

    machine: Machine
    zone: tzinfo
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class App:
    """Its tasks run in `tasks` until `stop` or `let_go`."""

    def __init__(
        self, given: Given, cron: Cron, branches: Branches, page: Path | None = None, remote: Remote | None = None
    ) -> None:
        """`page` is what visitors see under maintenance. `remote` has the branch that is followed."""
        parts = Parts.of(given)
        store, slots = given.store, parts.slots
        self._store = store
        self._slots = slots
        self._launcher = given.launcher
        self._tasks = given.tasks
        self._keeping: list[asyncio.Task[None]] = []
        self.mode = given.mode
        self.recorder = parts.recorder
        self.cpu = Cpu()
        self.notices = given.notices
        self.supervisor = parts.supervisor
        self.deployer = Deployer(parts)
        self.memory = MemoryWatch(given.config, self.supervisor, self._restart_for_memory)
        self.one_offs = OneOffs(store, slots, given.launcher, self.supervisor, given.worktrees.data)
        self.maintenance = Maintenance(store, self.mode, page, given.worktrees.data)
        self.mode.start_under(self.maintenance.order)
        self.branch = PushBranch(store, branches, self._latest)
        slots.on_link, slots.followed = self.branch.look, self.branch.follow
        self.pushes = Pushes(self.deployer, self.branch, self._tasks)
        runs = JobRuns(cron.machine, store, self._tasks, given.launcher.masking, self.notices)
        self.jobs = Jobs(runs, store, slots.folder, self.supervisor, cron.zone, cron.now)
        self.following = self._following(given.config.follow, remote)
        self.occupancy = slots.occupancy
        self._ask_who_uses_trees(runs)

    def _following(self, follow: Follow | None, remote: Remote | None) -> Following | None:
        """None if no branch is followed."""
        if not follow or not remote:
            return None
        shown = without_password(follow.remote)
        return Following(follow, remote, self.deployer, self._store, self.notices, shown)

    def _ask_who_uses_trees(self, runs: JobRuns) -> None:
        """So that no tree is overwritten in which something runs."""
        retirees, candidates = self.supervisor.retirees, self.deployer.candidates
        self.occupancy.ask(runs.in_tree)
        self.occupancy.ask(self.one_offs.in_tree)
        self.occupancy.ask(retirees.in_tree, retirees.emptied)
        self.occupancy.ask(candidates.in_tree)
        self.occupancy.ask(candidates.ending.in_tree, candidates.ending.emptied)

    @classmethod
    def of(cls, options: Options, found: Found, tasks: asyncio.TaskGroup) -> Self:
        """On this machine, as `opening` found it."""
        config, store, worktrees, mode = options.config.daemon, found.store, found.worktrees, found.mode
        folder = options.config_file.parent
        launcher = Launcher(config, folder, options.data, store, mode)
        around = Surroundings(folder, launcher.env_file, launcher.environment, owner(options.data), launcher.masking)
        commits = Commits(worktrees, store)
        follow = config.follow
        given = Given(
            config=config,
            configurations=Configurations(
                worktrees, options.as_read, found.config_path, config.app_config or "", options.proxy
            ),
            worktrees=worktrees,
            store=store,
            custody=Custody(worktrees, store),
            launcher=launcher,
            mode=mode,
            tasks=tasks,
            notices=notices_of(config, str(config.name), around, tasks, lambda commit: commits.known(commit).subject),
        )
        return cls(
            given,
            Cron(JobMachine(launcher, store, options.data), timezone.find(config.cron_timezone)),
            git_branches.Branches(options.repo, options.data, config.push_branch),
            page=folder / config.maintenance_page if config.maintenance_page else None,
            remote=git_remote.Remote(options.repo, options.data, follow.remote, follow.branch) if follow else None,
        )

    def start(self) -> "asyncio.Task[None]":
        """After `mode.open`. The task that it returns ends when the live version serves, or is being tried again."""
        logs, reserve = self._launcher.logs, self._store.reserve
        state, commits = self._store.state(), self.deployer.commits
        candidate = self._store.candidate()
        versions = (state.live, state.previous, candidate.version if candidate else None)
        shown = [version.commit for version in versions if version]
        keeping = (
            self.mode.traffic.keep(),
            keep_orphans(),
            logs.keep(),
            reserve.keep(),
            commits.learn(shown),
            self.recorder.keep(),
            self.memory.keep(),
            self.branch.keep(),
            self._slots.keep_linked(),
        )
        for task in keeping:
            self._keeping.append(self._tasks.create_task(task))
        self._keeping.append(self._tasks.create_task(room.keep_telling(self.deployer.lack, self.notices)))
        self.jobs.start(self._tasks)
        recovery = self.deployer.recover()
        if self.following:
            self.following.start(self._tasks)
        return recovery

    async def stop(self) -> None:
        """Drains and stops the live version. Then no process of the app or of its traffic is left. Raises nothing."""
        if self.following:
            await self.following.stop()
        with going_on("cannot close the app's listeners"):
            await self.mode.close()
        await asyncio.gather(self.deployer.stop(), self.jobs.stop())
        await self.recorder.finish()
        with going_on("cannot end the processes of the app's traffic"):
            await self.mode.stop()
        await self.notices.end()
        self._end_tasks()

    async def let_go(self) -> None:
        """Leaves all processes to the next daemon. Raises nothing."""
        if self.following:
            await self.following.stop()
        await self.recorder.finish()
        await self.jobs.let_go()
        await self.deployer.let_go()
        with going_on("cannot leave the processes of the app's traffic in good order"):
            await self.mode.let_go()
        await self.notices.end()
        self._end_tasks()

    async def _restart_for_memory(self, why: str) -> None:
        """Raises Busy, Stopping. The restart goes on if this is cancelled."""
        outcome = await asyncio.shield(self.deployer.restart(MEMORY, lambda _: None, [why], cause=MEMORY))
        if isinstance(outcome, SlotMachineError):
            log.error("the restart for its memory failed: %s", outcome)

    def _latest(self) -> str:
        """The latest attempt, in words."""
        last = self.deployer.attempts.last
        who = f" by {last.who}" if last and last.who else ""
        return f"{last.kind} {last.id}{who}" if last else ""

    def _end_tasks(self) -> None:
        for task in self._keeping:
            task.cancel()


async def keep_orphans() -> None:
    """Reaps orphans that have ended. Runs until cancelled."""
    reaper = containment.OrphanReaper()
    while True:
        await asyncio.sleep(REAP_INTERVAL_S)
        try:
            reaper.reap(session.leaders())
        except OSError as error:
            log.error("cannot look for children that have ended: %s", error)
