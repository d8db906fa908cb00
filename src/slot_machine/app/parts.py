"""The parts of an app of which attempts are composed, put together."""

import asyncio
from dataclasses import dataclass
from typing import Self

from slot_machine.app.attempts import Attempts
from slot_machine.app.candidates import Candidates
from slot_machine.app.commits import Commits
from slot_machine.app.configurations import Configurations
from slot_machine.app.judging import Gather
from slot_machine.app.notices import Notices
from slot_machine.app.operations import Operations
from slot_machine.app.placing import Placing
from slot_machine.app.preflight import Preflight
from slot_machine.app.rehearsal import Visits
from slot_machine.app.rollout import Rollout
from slot_machine.app.seams import Starter, TrafficMode, Trees
from slot_machine.app.slots import Slots
from slot_machine.app.supervisor import Supervisor
from slot_machine.app.undo import Undo
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.model import State
from slot_machine.state.store import Store


@dataclass(frozen=True)
class Given:
    """What they are made of."""

    configurations: Configurations
    worktrees: Trees
    slots: Slots
    store: Store
    launcher: Starter
    mode: TrafficMode
    supervisor: Supervisor
    commits: Commits
    tasks: asyncio.TaskGroup
    notices: Notices
    visits: Visits
    gather: Gather


@dataclass(frozen=True)
class Parts(Given):
    operations: Operations
    preflight: Preflight
    attempts: Attempts
    candidates: Candidates
    rollout: Rollout
    placing: Placing

    @classmethod
    def of(cls, config: DaemonConfig, given: Given) -> Self:
        store, slots, launcher, supervisor = given.store, given.slots, given.launcher, given.supervisor
        traffic, tasks, hold_s = given.mode.traffic, given.tasks, config.hold_timeout_s
        operations = Operations(tasks)
        preflight = Preflight(given.worktrees, store, tasks)
        undo = Undo(store, supervisor, slots, preflight)
        attempts = Attempts(store, operations, supervisor, preflight, undo, launcher.masking, given.notices)
        return cls(
            **vars(given),
            operations=operations,
            preflight=preflight,
            attempts=attempts,
            candidates=Candidates(store, launcher.masking, traffic, attempts, tasks, hold_s, config.url, given.gather),
            rollout=Rollout(store, slots, launcher, given.mode, supervisor),
            placing=Placing(store, slots, preflight, config.spare_tree),
        )

    @property
    def state(self) -> State:
        return self.store.state()
