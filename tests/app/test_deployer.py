"""The deployer on a machine in memory: every step of every story fails once, in every way."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done
from slot_machine.core.errors import KeeperGone, StageFailed
from slot_machine.host.network.probe import Answer
from tests.app.stories import (
    LONG_S,
    STORIES,
    STRATEGIES,
    WITH_PROBES,
    WITHOUT_PROBES,
    Story,
    a_is_live,
    a_was_live,
    b_is_live,
    check_history,
    check_rest,
    config_of,
    deploy,
    ignored,
    machine,
    rollback,
    steps,
    stop_in,
    take_over,
)
from tests.fakes import Faults, processes_of, raising, run

pytestmark = pytest.mark.usefixtures("quiet")

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
            switched = isinstance(outcome, Done) and outcome.kind != "restart"
            assert switched == (made.store.state().live != live), where
        check_rest(made, where)
        check_history(made, where)
        made.launcher.failures.clear()
        made.traffic.failures.clear()
        made.traffic.busy = False
        assert isinstance(await deploy(made, "c"), Done), where
        await asyncio.sleep(LONG_S)
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
        await stop_in(at, made, tell)
        where = f"stopped in step {at}, {faults.names[at - 1]}: {faults.names}"
        assert not made.running, where
        check_history(made, where)


def test_deploy_that_has_switched_succeeds_whatever_its_drain_comes_to(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            old = made.supervisor.release
            assert old
            processes_of(old.web).survivors = ["process 7 (sleep 600)"]
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
            assert made.supervisor.web.restarts == 0

            made.supervisor.monitor.deploying = False
            made.launcher.answers[:] = [Answer(503, "503")]
            await asyncio.sleep(LONG_S)
            assert made.supervisor.web.restarts == 1
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
