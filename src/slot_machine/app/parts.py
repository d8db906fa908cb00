"""The parts of an app of which attempts are composed, made and put together."""

import asyncio
from dataclasses import dataclass
from typing import Self

from slot_machine.app.attempts import Attempts
from slot_machine.app.candidates import Candidates
from slot_machine.app.commits import Commits
from slot_machine.app.configurations import Configurations
from slot_machine.app.custody import Custody
from slot_machine.app.evidence import Evidence
from slot_machine.app.judging import Gather
from slot_machine.app.notices import NOBODY, Notices
from slot_machine.app.operations import Operations
from slot_machine.app.outages import Outages
from slot_machine.app.placing import Placing
from slot_machine.app.preflight import Preflight
from slot_machine.app.recorder import Recorder
from slot_machine.app.rollout import Rollout
from slot_machine.app.seams import Facts, Shell, Starter, Trees
from slot_machine.app.setups import Setups
from slot_machine.app.slots import Slots
from slot_machine.app.stage_commands import StageCommands
from slot_machine.app.supervisor import Supervisor
from slot_machine.app.undo import Undo
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.model import State, Version
from slot_machine.host.process import runtimes
from slot_machine.host.process.commands import run_shell
from slot_machine.state import stats
from slot_machine.state.stats import Stats
from slot_machine.state.store import Store
from slot_machine.traffic.mode import Mode


@dataclass(frozen=True, kw_only=True)
class Given:
    """What they are made of: this machine, or a test's fakes of it.

    `evidence` has what is known of a new version, in place of what the workers count.
    """

    config: DaemonConfig
    configurations: Configurations
    worktrees: Trees
    store: Store
    custody: Custody
    launcher: Starter
    mode: Mode
    tasks: asyncio.TaskGroup
    shell: Shell = run_shell
    facts: Facts = runtimes.facts
    notices: Notices = NOBODY
    evidence: Gather | None = None


@dataclass(frozen=True, kw_only=True)
class Parts(Given):
    commits: Commits
    supervisor: Supervisor
    slots: Slots
    recorder: Recorder
    operations: Operations
    preflight: Preflight
    attempts: Attempts
    candidates: Candidates
    rollout: Rollout
    placing: Placing
    gather: Gather

    @classmethod
    def of(cls, given: Given) -> Self:
        store, launcher, mode, tasks = given.store, given.launcher, given.mode, given.tasks
        masking, notices, config = launcher.masking, given.notices, given.config
        commits = Commits(given.worktrees, store)
        recorder = Recorder(mode, Stats(given.worktrees.data / stats.NAME), store.state)
        gather = given.evidence or _counted_by(recorder)
        outages = Outages(store, commits, masking)
        supervisor = Supervisor(config, launcher, mode.traffic, outages, tasks, notices)
        slots = _slots(given)
        operations = Operations(tasks)
        preflight = Preflight(given.worktrees, store, tasks)
        undo = Undo(store, supervisor, slots, preflight)
        attempts = Attempts(store, operations, supervisor, preflight, undo, masking, notices)
        hold_s, url = config.hold_timeout_s, config.url
        return cls(
            **vars(given),
            commits=commits,
            supervisor=supervisor,
            slots=slots,
            recorder=recorder,
            operations=operations,
            preflight=preflight,
            attempts=attempts,
            candidates=Candidates(store, masking, mode.traffic, attempts, tasks, hold_s, url, gather),
            rollout=Rollout(store, slots, launcher, mode, supervisor),
            placing=Placing(store, slots, preflight, config.spare_tree),
            gather=gather,
        )

    @property
    def state(self) -> State:
        return self.store.state()


def _slots(given: Given) -> Slots:
    worktrees, store, launcher = given.worktrees, given.store, given.launcher
    commands = StageCommands(store, launcher, worktrees.data, given.shell)
    setups = Setups(worktrees, store, launcher, commands, given.facts)
    return Slots(worktrees, store, commands, setups, given.custody)


def _counted_by(recorder: Recorder) -> Gather:
    def gather(new: Version, old: Version, same_minutes: bool) -> Evidence:
        return Evidence(recorder, new.slot, old.slot, same_minutes=same_minutes)

    return gather
