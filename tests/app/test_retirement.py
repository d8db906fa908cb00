"""What becomes of a release that is drained and stopped if a step of that fails, on a machine in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slot_machine.app.release import Release
from slot_machine.app.retirement import retire
from slot_machine.core.errors import KeeperGone
from slot_machine.core.model import Version
from tests.fakes import COMMITS, Faults, Machine, processes_of, raising, run

BUDGET_S = 10.0


@asynccontextmanager
async def started(data: Path) -> AsyncIterator[tuple[Machine, Release]]:
    """Nothing of it is left."""
    async with asyncio.TaskGroup() as tasks:
        machine = Machine.make(data, tasks, Faults(), {})
        release = await machine.launcher.launch(Version("a", COMMITS["a"]))
        machine.faults.names.clear()
        yield machine, release
        assert not release.running
        assert machine.faults.names[-1] == "forget"
    machine.close()


def test_release_that_cannot_be_drained_is_stopped_in_what_is_left_of_its_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with started(tmp_path) as (machine, release):
            machine.faults.at, machine.faults.strike = 1, raising(KeeperGone("it is gone"))
            with pytest.raises(KeeperGone):
                await retire(machine.traffic, release, BUDGET_S)
            assert processes_of(release.web).grace_s == pytest.approx(BUDGET_S, abs=0.1)

    run(story())


def test_requests_that_are_left_are_ended_though_the_stop_is_cancelled(tmp_path: Path) -> None:
    async def story() -> None:
        async with started(tmp_path) as (machine, release):
            came = asyncio.Event()
            machine.faults.at, machine.faults.strike = 2, came.set
            retiring = asyncio.ensure_future(retire(machine.traffic, release, BUDGET_S))
            await came.wait()
            retiring.cancel()
            await asyncio.wait([retiring])
            assert retiring.cancelled()

    run(story())
