"""The steps of a rollout one by one, with time in between, on a machine in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done
from slot_machine.app.release import Release
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from slot_machine.core.phases import Event
from tests.fakes import COMMITS, Faults, Machine, processes_of, run, upstream

A = Version("a", COMMITS["a"], 1)
B = Version("b", COMMITS["b"], 2)
LONG_S = 3600.0

Story = Callable[[Machine], Awaitable[None]]


def ignored(_: object) -> None:
    pass


def tell(data: Path, story: Story) -> None:
    """With version A live. In the end, nothing runs."""

    async def told() -> None:
        async with made(data) as machine:
            assert isinstance(await machine.deployer.deploy("a", "cli", ignored), Done)
            await story(machine)

    run(told())


@asynccontextmanager
async def made(data: Path) -> AsyncIterator[Machine]:
    async with asyncio.TaskGroup() as tasks:
        machine = Machine.make(data, tasks, Faults(), {"health_interval_ms": 0})
        yield machine
        await machine.deployer.stop()
        assert not machine.running
    machine.close()


def serves(machine: Machine, version: Version) -> bool:
    """Whether `version` is live, by the state, the supervisor and the traffic."""
    release = machine.supervisor.release
    return (
        machine.store.state().live == version
        and release is not None
        and release.version == version
        and machine.supervisor.healthy
        and machine.traffic.routed == release.upstream
    )


def test_candidate_is_promoted_long_after_its_health_check(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        rollout = machine.deployer.rollout
        async with machine.deployer.attempts.begin("deploy", "cli", ignored) as attempt:
            candidate = await rollout.bring_up(attempt, Event.REUSE, B, A)
            await asyncio.sleep(LONG_S)

            assert candidate.running
            assert serves(machine, A)

            old = await rollout.promote(attempt, candidate)
            assert serves(machine, B)
            assert old
            assert old.running
            await asyncio.sleep(LONG_S)

            attempt.on(Event.SWITCHED)
            await rollout.retire(attempt, old)
            attempt.on(Event.DRAINED)
        assert machine.running == [candidate.web]

    tell(tmp_path, story)


def test_live_version_is_started_again_while_a_candidate_waits(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        async with machine.deployer.attempts.begin("deploy", "cli", ignored) as attempt:
            candidate = await machine.deployer.rollout.bring_up(attempt, Event.REUSE, B, A)
            machine.crash()
            await asyncio.sleep(LONG_S)

            assert candidate.running
            assert serves(machine, A)
            old = await machine.deployer.rollout.promote(attempt, candidate)
            assert serves(machine, B)
            assert old
            attempt.on(Event.SWITCHED)
            await machine.deployer.rollout.retire(attempt, old)
            attempt.on(Event.DRAINED)
        assert machine.running == [candidate.web]

    tell(tmp_path, story)


def test_candidate_that_ended_while_it_waited_is_not_promoted(tmp_path: Path) -> None:
    async def late(machine: Machine) -> None:
        async with machine.deployer.attempts.begin("deploy", "cli", ignored) as attempt:
            candidate = await machine.deployer.rollout.bring_up(attempt, Event.REUSE, B, A)
            processes_of(candidate.web).end(1)
            await asyncio.sleep(LONG_S)
            await machine.deployer.rollout.promote(attempt, candidate)

    async def story(machine: Machine) -> None:
        with pytest.raises(StageFailed, match="ended right after it was healthy"):
            await late(machine)

        assert serves(machine, A)
        assert [run.version for run in machine.running] == [A]

    tell(tmp_path, story)


def test_take_over_can_go_on_with_more_than_the_live_version(tmp_path: Path) -> None:
    other = Version("b", COMMITS["c"], 3)
    held: list[Release] = []

    async def hold(release: Release) -> None:
        held.append(release)

    async def story(machine: Machine) -> None:
        await machine.supervisor.let_go()
        await machine.supervisor.pause()
        for left in machine.running:
            await left.stop(0)
        for version in (other, B, A):
            web = machine.launcher.process(version)
            web.upstream = upstream(web)
            machine.launcher.left.append(Release(version, web))

        await machine.deployer.recovery.take_over(A, {B: hold})

        assert serves(machine, A)
        assert [release.version for release in held] == [B]
        assert {run.version.commit for run in machine.running} == {A.commit, B.commit}

    tell(tmp_path, story)
