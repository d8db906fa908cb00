"""A daemon with jobs on a machine in memory, which tests end, kill and start again."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from slot_machine.app.job_runs import JobRuns
from slot_machine.app.jobs import Jobs
from slot_machine.app.outcomes import Done
from slot_machine.core.model import Attempt
from tests.fake_jobs import JobMachine, WallClock
from tests.fakes import COMMITS, Faults, Machine, run

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
NIGHTLY = {"schedule": "0 3 * * *", "command": "x", "timeout_ms": 3_600_000}
EACH_MINUTE = {"schedule": "* * * * *", "command": "x", "timeout_ms": 3_600_000}


class Story:
    """A daemon with one app. Commit `a` is live, with the jobs given."""

    def __init__(self, machine: Machine, jobs: JobMachine, clock: WallClock, tasks: asyncio.TaskGroup) -> None:
        self.machine = machine
        self.jobs = jobs
        self.clock = clock
        self._tasks = tasks
        self.daemon = machine.app.jobs

    async def deploy(self, commit: str, **fields: object) -> Done:
        text = json.dumps({"start_command": "app"} | fields)
        self.machine.trees.files[COMMITS[commit]] = text.encode()
        done = await self.machine.deployer.deploy(commit, "cli", lambda _: None)
        assert isinstance(done, Done), done
        return done

    async def end(self, *, killed: bool = False) -> None:
        await self.daemon.let_go()
        await asyncio.sleep(0)
        if killed:
            self.jobs.daemon_was_killed()

    def start(self) -> None:
        """Another daemon."""
        store, supervisor = self.machine.store, self.machine.supervisor
        store.interrupt_unfinished()
        cron = self.jobs.cron(store)
        runs = JobRuns(self.jobs, store, self._tasks)
        self.daemon = Jobs(runs, store, lambda version: self.machine.trees.path(version.tree), supervisor, *cron[1:])
        self.daemon.start(self._tasks)

    @property
    def history(self) -> list[Attempt]:
        """Of jobs, the first one first."""
        return [attempt for attempt in reversed(self.machine.store.attempts(1000)) if attempt.kind == "job"]

    @property
    def results(self) -> list[str]:
        return [attempt.result for attempt in self.history]

    @property
    def times(self) -> list[str]:
        return [begun.at for begun in self.jobs.begun]


def tell(
    data: Path,
    story: Callable[[Story], Awaitable[None]],
    now: datetime | None = None,
    **fields: object,
) -> None:
    async def told() -> None:
        clock = WallClock(now) if now else WallClock()
        faults = Faults()
        jobs = JobMachine(data, faults, clock)
        async with asyncio.TaskGroup() as tasks:
            machine = Machine.make(data, tasks, faults, {"health_interval_ms": 0}, jobs.cron)
            started = Story(machine, jobs, clock, tasks)
            started.daemon.start(tasks)
            await started.deploy("a", **fields)
            await story(started)
            await started.daemon.stop()
            await machine.deployer.stop()
            assert all(processes.exit_code is not None for processes in jobs.runs)
            assert machine.store.runs_under_way() == []
        machine.close()

    run(told())


async def next_minute(of: Story) -> None:
    """Until five seconds before a full minute."""
    await asyncio.sleep((55 - of.clock().second) % 60 - of.clock().microsecond / 1e6)


@contextmanager
def failing(of: Story, step: str, error: BaseException) -> Iterator[None]:
    """Each step with this name fails meanwhile."""
    faults = of.machine.faults
    real = faults.now

    def now(name: str) -> None:
        real(name)
        if name == step:
            raise error

    faults.now = now  # type: ignore[method-assign]
    try:
        yield
    finally:
        faults.now = real  # type: ignore[method-assign]
