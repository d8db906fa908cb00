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
from slot_machine.app.evidence import Evidence
from slot_machine.app.failures import going_on
from slot_machine.app.follow import Following
from slot_machine.app.job_machine import JobMachine
from slot_machine.app.job_run import Machine
from slot_machine.app.job_runs import JobRuns
from slot_machine.app.jobs import Jobs
from slot_machine.app.judging import Gather
from slot_machine.app.launcher import Launcher
from slot_machine.app.maintenance import Maintenance
from slot_machine.app.memory import MEMORY, MemoryWatch
from slot_machine.app.notices import NOBODY, Notices, notices_of
from slot_machine.app.one_offs import OneOffs
from slot_machine.app.opening import Found, Options
from slot_machine.app.outages import Outages
from slot_machine.app.parts import Given, Parts
from slot_machine.app.push_branch import Branches, PushBranch
from slot_machine.app.pushes import Pushes
from slot_machine.app.recorder import Recorder
from slot_machine.app.seams import Facts, Remote, Shell, Starter, Trees
from slot_machine.app.setups import Setups
from slot_machine.app.slots import Slots
from slot_machine.app.stage_commands import StageCommands
from slot_machine.app.supervisor import Supervisor
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.errors import SlotMachineError
from slot_machine.core.model import Version
from slot_machine.host import timezone
from slot_machine.host.git import branches as git_branches
from slot_machine.host.git import remote as git_remote
from slot_machine.host.git.git import without_password
from slot_machine.host.process import containment, runtimes, session
from slot_machine.host.process.commands import run_shell
from slot_machine.host.process.containment import owner
from slot_machine.host.process.usage import Cpu
from slot_machine.state import stats
from slot_machine.state.stats import Stats
from slot_machine.state.store import Store
from slot_machine.traffic.mode import Mode

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
        self,
        config: DaemonConfig,
        configurations: Configurations,
        worktrees: Trees,
        store: Store,
        custody: Custody,
        launcher: Starter,
        mode: Mode,
        cron: Cron,
        tasks: asyncio.TaskGroup,
        shell: Shell = run_shell,
        facts: Facts = runtimes.facts,
        notices: Notices = NOBODY,
        page: Path | None = None,
        remote: Remote | None = None,
        gather: Gather | None = None,
        *,
        branches: Branches,
    ) -> None:
        """`page` is what visitors see under maintenance. `remote` has the branch that is followed.

        `gather` has what is known of a new version, in place of what the workers count.
        """
        self._store = store
        self._launcher = launcher
        self._tasks = tasks
        self._keeping: list[asyncio.Task[None]] = []
        self.mode = mode
        self.recorder = Recorder(mode, Stats(worktrees.data / stats.NAME), store.state)
        self.cpu = Cpu()
        self.notices = notices
        commits = Commits(worktrees, store)
        outages = Outages(store, commits, launcher.masking)
        self.supervisor = Supervisor(config, launcher, mode.traffic, outages, tasks, notices)
        commands = StageCommands(store, launcher, worktrees.data, shell)
        setups = Setups(worktrees, store, launcher, commands, facts)
        slots = Slots(worktrees, store, commands, setups, custody)
        given = Given(
            configurations,
            worktrees,
            slots,
            store,
            launcher,
            mode,
            self.supervisor,
            commits,
            tasks,
            notices,
            self.recorder,
            gather or self._gather,
        )
        self.deployer = Deployer(Parts.of(config, given))
        self.memory = MemoryWatch(config, self.supervisor, self._restart_for_memory)
        runs = JobRuns(cron.machine, store, tasks, launcher.masking, notices)
        self.occupancy = slots.occupancy
        self.occupancy.ask(runs.in_tree)
        self.one_offs = OneOffs(store, slots, launcher, self.supervisor, worktrees.data)
        self.occupancy.ask(self.one_offs.in_tree)
        self.occupancy.ask(self.supervisor.retirees.in_tree, self.supervisor.retirees.emptied)
        candidates = self.deployer.candidates
        self.occupancy.ask(candidates.in_tree)
        self.occupancy.ask(candidates.ending.in_tree, candidates.ending.emptied)
        self.maintenance = Maintenance(store, mode, page, worktrees.data)
        mode.start_under(self.maintenance.order)
        self.branch = PushBranch(store, branches, self._latest)
        slots.on_link, slots.followed = self.branch.look, self.branch.follow
        self.pushes = Pushes(self.deployer, self.branch, tasks)
        self.jobs = Jobs(runs, store, slots.folder, self.supervisor, cron.zone, cron.now)
        follow = config.follow
        shown = without_password(follow.remote) if follow else ""
        self.following = Following(follow, remote, self.deployer, store, notices, shown) if follow and remote else None

    @classmethod
    def of(cls, options: Options, found: Found, tasks: asyncio.TaskGroup) -> Self:
        """On this machine, as `opening` found it."""
        config, store, worktrees, mode = options.config.daemon, found.store, found.worktrees, found.mode
        launcher = Launcher(config, options.config_file.parent, options.data, store, mode)
        configurations = Configurations(
            worktrees, options.as_read, found.config_path, config.app_config or "", options.proxy
        )
        cron = Cron(JobMachine(launcher, store, options.data), timezone.find(config.cron_timezone))
        around = Surroundings(
            options.config_file.parent,
            launcher.env_file,
            launcher.environment,
            owner(options.data),
            launcher.masking,
        )
        commits = Commits(worktrees, store)
        notices = notices_of(config, str(config.name), around, tasks, lambda commit: commits.known(commit).subject)
        page = options.config_file.parent / config.maintenance_page if config.maintenance_page else None
        follow = config.follow
        remote = git_remote.Remote(options.repo, options.data, follow.remote, follow.branch) if follow else None
        return cls(
            config,
            configurations,
            worktrees,
            store,
            Custody(worktrees, store),
            launcher,
            mode,
            cron,
            tasks,
            notices=notices,
            page=page,
            remote=remote,
            branches=git_branches.Branches(options.repo, options.data, config.push_branch),
        )

    def start(self) -> "asyncio.Task[None]":
        """After `mode.open`. The task that it returns ends when the live version serves, or is being tried again."""
        logs, reserve = self._launcher.logs, self._store.reserve
        state, commits = self._store.state(), self.deployer.commits
        shown = [version.commit for version in (state.live, state.previous) if version]
        keeping = (
            self.mode.traffic.keep(),
            keep_orphans(),
            logs.keep(),
            reserve.keep(),
            commits.learn(shown),
            self.recorder.keep(),
            self.memory.keep(),
            self.branch.keep(),
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

    def _gather(self, new: Version, old: Version, same_minutes: bool) -> Evidence:
        return Evidence(self.recorder, new.slot, old.slot, same_minutes=same_minutes)

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
