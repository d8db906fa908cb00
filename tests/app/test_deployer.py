"""The deployer on a machine in memory: every step of every story fails once, in every way."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slot_machine.app.deployer import Done, Outcome
from slot_machine.core.errors import KeeperGone, StageFailed
from slot_machine.core.model import Version
from slot_machine.host.network.health import Answer
from tests.fakes import COMMITS, Faults, Machine, processes_of, raising, run, upstream

Story = Callable[[Machine], Awaitable[object]]

LONG_S = 40.0
"""Time enough for every delay of a few restarts."""

WITHOUT_PROBES: dict[str, object] = {"health_interval_ms": 0}
WITH_PROBES: dict[str, object] = {"health_interval_ms": 2000, "restart_when_unhealthy": True}

B = Version("b", COMMITS["b"])

STRATEGIES = pytest.mark.parametrize("strategy", ["overlap", "replace"])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """To write down what thousands of faults have to say takes longer than all else."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@asynccontextmanager
async def machine(
    data: Path, config: Mapping[str, object] = WITHOUT_PROBES, faults: Faults | None = None
) -> AsyncIterator[Machine]:
    """At its end, nothing is left of it, and none of its tasks has failed."""
    async with asyncio.TaskGroup() as tasks:
        made = Machine.make(data, tasks, faults or Faults(), config)
        yield made
        await made.deployer.stop()
        assert not made.running
    made.close()


def ignored(_: object) -> None:
    pass


async def deploy(machine: Machine, commitish: str) -> Outcome:
    return await machine.deployer.deploy(commitish, "cli", ignored)


async def rollback(machine: Machine) -> Outcome:
    return await machine.deployer.rollback("cli", ignored)


async def first_deploy(machine: Machine) -> Outcome:
    return await deploy(machine, "a")


async def second_deploy(machine: Machine) -> Outcome:
    return await deploy(machine, "b")


async def crash_and_restart(machine: Machine) -> None:
    machine.crash()
    await asyncio.sleep(LONG_S)


async def crash_within_a_deploy(machine: Machine) -> None:
    machine.crash()
    await asyncio.sleep(1)
    await deploy(machine, "b")


async def restart_of_a_hung_app(machine: Machine) -> None:
    machine.launcher.answers += [Answer(503, "503")] * 3
    await asyncio.sleep(20)


async def recovery(machine: Machine) -> None:
    await machine.deployer.recover()


async def take_over(machine: Machine) -> None:
    """A daemon was killed in the midst of a deploy: the live version goes on, the other one is ended."""
    live = machine.store.state().live
    assert live
    for version in (B, live):
        release = machine.launcher.process(version)
        release.upstream = upstream(release)
        machine.launcher.left.append(release)
    await machine.deployer.recover()


async def failed_deploy(machine: Machine) -> Outcome:
    machine.launcher.failures.append(StageFailed("health", "it answered 500"))
    return await deploy(machine, "b")


async def nothing(_: Machine) -> None:
    pass


async def a_is_live(machine: Machine) -> None:
    assert isinstance(await deploy(machine, "a"), Done)


async def b_is_live(machine: Machine) -> None:
    await a_is_live(machine)
    assert isinstance(await deploy(machine, "b"), Done)


async def a_was_live(machine: Machine) -> None:
    """The state of a daemon that has ended."""
    await a_is_live(machine)
    await machine.supervisor.pause()
    for release in machine.running:
        processes_of(release).end(-9)
    machine.supervisor.release = None


STORIES: dict[str, tuple[Story, Story]] = {
    "first deploy": (nothing, first_deploy),
    "second deploy": (a_is_live, second_deploy),
    "deploy that fails": (a_is_live, failed_deploy),
    "rollback": (b_is_live, rollback),
    "crash": (a_is_live, crash_and_restart),
    "crash within a deploy": (a_is_live, crash_within_a_deploy),
    "hung app": (a_is_live, restart_of_a_hung_app),
    "recovery": (a_was_live, recovery),
    "take-over": (a_was_live, take_over),
}
FULL = sqlite3.OperationalError("database or disk is full")
FAULTS = {
    "named": KeeperGone("it is gone"),
    "of the system": PermissionError(1, "Operation not permitted"),
    "unforeseen": ValueError("embedded null byte"),
}
"""In place of the second, the database has one of its own."""


@STRATEGIES
@pytest.mark.parametrize("error", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("story", STORIES)
def test_whatever_fails_the_live_version_serves(tmp_path: Path, strategy: str, story: str, error: Exception) -> None:
    before, tell = STORIES[story]
    for at, step in enumerate(steps(tmp_path, story, strategy), 1):
        if isinstance(error, OSError | sqlite3.Error):
            error = FULL if step.startswith(("begin", "save")) else FAULTS["of the system"]
        run(_fail_once(tmp_path, before, tell, at, error, strategy))


async def _fail_once(data: Path, before: Story, tell: Story, at: int, error: Exception, strategy: str) -> None:
    faults = Faults()
    async with machine(data, config_of(tell, strategy), faults) as made:
        await before(made)
        faults.names.clear()
        faults.at, faults.strike = at, raising(error)
        live = made.store.state().live
        outcome = await tell(made)
        faults.at = 0
        await asyncio.sleep(LONG_S)
        where = f"failed in step {at}, {faults.names[at - 1]}: {faults.names}"
        if outcome:
            assert isinstance(outcome, Done) == (made.store.state().live != live), where
        check_rest(made, where)
        check_history(made, where)
        made.launcher.failures.clear()
        assert isinstance(await deploy(made, "c"), Done), where
        check_rest(made, where)
        assert not {row.result for row in made.store.attempts(100)} & {"running"}, where


@STRATEGIES
@pytest.mark.parametrize("story", STORIES)
def test_whenever_the_daemon_stops_nothing_is_left(tmp_path: Path, strategy: str, story: str) -> None:
    before, tell = STORIES[story]
    for at, _ in enumerate(steps(tmp_path, story, strategy), 1):
        run(_stop_within(tmp_path, before, tell, at, strategy))


async def _stop_within(data: Path, before: Story, tell: Story, at: int, strategy: str) -> None:
    faults = Faults()
    async with machine(data, config_of(tell, strategy), faults) as made:
        await before(made)
        faults.names.clear()
        came = asyncio.Event()
        faults.at, faults.strike = at, came.set
        telling = asyncio.ensure_future(tell(made))
        await came.wait()
        await made.deployer.stop()
        telling.cancel()
        await asyncio.wait([telling])
        where = f"stopped in step {at}, {faults.names[at - 1]}: {faults.names}"
        assert not made.running, where
        check_history(made, where)


def config_of(tell: Story, strategy: str) -> dict[str, object]:
    return (WITH_PROBES if tell is restart_of_a_hung_app else WITHOUT_PROBES) | {"strategy": strategy}


def steps(data: Path, story: str, strategy: str) -> list[str]:
    before, tell = STORIES[story]

    async def names() -> list[str]:
        async with machine(data, config_of(tell, strategy)) as made:
            await before(made)
            made.faults.names.clear()
            await tell(made)
            return list(made.faults.names)

    return run(names())


def check_rest(machine: Machine, where: str) -> None:
    """What the state says is what runs, alone, and what gets the requests."""
    live, release = machine.store.state().live, machine.supervisor.release
    if live is None:
        assert not machine.running, where
        assert machine.traffic.routed is None, where
        return
    assert machine.supervisor.healthy, where
    assert release, where
    assert release.version == live, where
    assert machine.running == [release], where
    assert machine.traffic.routed == release.upstream, where
    assert not machine.traffic.holding, where
    assert machine.supervisor.watching, where


def check_history(machine: Machine, where: str) -> None:
    assert machine.deployer.running is None, where
    last = machine.deployer.last_attempt
    assert last is None or last.result != "running", where


def test_deploy_that_has_switched_succeeds_whatever_its_drain_comes_to(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            old = made.supervisor.release
            assert old
            processes_of(old).survivors = ["process 7 (sleep 600)"]
            outcome = await made.deployer.deploy("b", "cli", ignored)

            assert isinstance(outcome, Done)
            assert made.store.attempts(1)[0].result == "succeeded"
        assert any("process 7 (sleep 600)" in warning for warning in outcome.warnings)

    run(story())


@STRATEGIES
def test_live_version_comes_back_when_the_database_cannot_even_be_read(tmp_path: Path, strategy: str) -> None:
    names = steps(tmp_path, "second deploy", strategy)
    at = names.index("health" if strategy == "replace" else "beside") + 1

    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": strategy}) as made:
            await a_is_live(made)

            def strike() -> None:
                made.store.unreadable = FULL
                raise FULL

            made.faults.names.clear()
            made.faults.at, made.faults.strike = at, strike
            outcome = await deploy(made, "b")
            made.store.unreadable = None

            assert isinstance(outcome, StageFailed)
            assert made.store.attempts(1)[0].result == "failed"
            check_rest(made, "")

    run(story())


@STRATEGIES
def test_bad_environment_fails_before_anything_is_touched(tmp_path: Path, strategy: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": strategy}) as made:
            await b_is_live(made)
            made.launcher.bad_environment = StageFailed("resolve", "env_file .env, line 3: A contains a NUL character")
            made.faults.names.clear()
            outcomes = [await deploy(made, "c"), await rollback(made)]

            assert all(isinstance(outcome, StageFailed) for outcome in outcomes)
            assert not {"checkout", "stop", "hold", "route", "launch"} & set(made.faults.names)
            assert made.deployer.previous_ready
            made.launcher.bad_environment = None

    run(story())


def test_live_version_is_not_started_again_for_its_health_during_a_deploy(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITH_PROBES) as made:
            await a_is_live(made)
            made.supervisor.monitor.deploying = True
            made.launcher.answers += [Answer(503, "503")] * 20
            await asyncio.sleep(10)

            assert not made.supervisor.healthy
            assert "503" in made.supervisor.unhealthy_reason
            assert made.supervisor.restarts == 0

            made.supervisor.monitor.deploying = False
            made.launcher.answers[:] = [Answer(503, "503")]
            await asyncio.sleep(LONG_S)
            assert made.supervisor.restarts == 1
            assert made.supervisor.healthy

    run(story())


@STRATEGIES
def test_port_that_another_program_has_at_the_switch_fails_the_deploy(tmp_path: Path, strategy: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": strategy}) as made:
            await a_is_live(made)
            made.launcher.taken = StageFailed("switch", "port 7 is not the app's")
            outcome = await deploy(made, "b")
            made.launcher.taken = None

            assert isinstance(outcome, StageFailed)
            assert made.store.attempts(1)[0].stage == "switch"
            assert {upstream.slot for upstream in made.traffic.history if upstream} == {"a"}
            check_rest(made, "")

    run(story())


def test_release_whose_port_another_program_has_is_not_taken_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_was_live(made)
            made.launcher.taken = StageFailed("switch", "port 7 is not the app's")
            await take_over(made)

            left = made.launcher.left[-1]
            assert left.version == made.store.state().live
            assert not left.running
            assert made.traffic.routed != left.upstream
            check_rest(made, "")

    run(story())


def test_what_could_not_be_told_of_a_port_is_warned_of(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            made.launcher.doubts = ["cannot tell whether port 7 is the app's own"]
            outcome = await deploy(made, "a")

            assert isinstance(outcome, Done)
            assert outcome.warnings == ("cannot tell whether port 7 is the app's own",)

    run(story())
