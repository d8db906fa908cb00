"""A restart of the live version beside itself, on a machine in memory."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done, Unchanged, Wishes
from slot_machine.core.errors import NothingToRestart, StageFailed
from slot_machine.core.model import WEB
from slot_machine.core.phases import Phase
from tests.app.stories import (
    ALL_COMMANDS,
    SIDE_RUNS,
    STRATEGIES,
    WITHOUT_PROBES,
    a_is_live,
    a_was_live,
    b_is_live,
    check_rest,
    ignored,
    machine,
    restart,
    restart_that_fails,
    side_runs_are_live,
    take_over_of_a_restart,
)
from tests.fakes import COMMITS, Machine, processes_of, run

PREPARES = {"checkout", "protect next b", "setup", "build", "release", "save contents", "begin tree"}


async def is_unchanged(machine: Machine) -> bool:
    outcome = await machine.deployer.deploy("b", "cli", ignored, Wishes(if_changed=True))
    return isinstance(outcome, Unchanged)


@STRATEGIES
def test_same_version_is_started_afresh_and_nothing_else_changes(tmp_path: Path, strategy: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | ALL_COMMANDS | {"strategy": strategy}) as made:
            await b_is_live(made)
            state, before = made.store.state(), made.supervisor.release
            assert before
            made.faults.names.clear()
            outcome = await restart(made)

            assert isinstance(outcome, Done)
            assert (outcome.kind, outcome.version) == ("restart", state.live)
            assert not PREPARES & set(made.faults.names)
            assert made.store.state() == state, "its time of the last deploy, too"
            assert made.deployer.previous_ready
            assert not before.running
            check_rest(made, "")
            (last,) = made.store.attempts(1)
            assert (last.kind, last.trigger, last.result) == ("restart", "cli", "succeeded")
            assert (last.commit, last.slot) == (outcome.version.commit, outcome.version.slot)
            assert {*last.stage_seconds} == {Phase.START, Phase.HEALTH, Phase.SWITCH, Phase.DRAIN}

    run(story())


def test_old_one_serves_until_the_new_one_is_healthy(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            before, steps = made.supervisor.release, made.faults.names
            assert before
            steps.clear()
            await restart(made)

            assert steps.index("beside") < steps.index("check") < steps.index("routed") < steps.index("stop")
            assert "hold" not in steps
            assert made.traffic.history[-2:] == [before.upstream, made.supervisor.release and made.traffic.routed]

    run(story())


def test_no_restart_of_another_commit_that_somebody_has_checked_out(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            before = made.supervisor.release
            assert before
            made.trees.heads[before.version.tree] = COMMITS["a"]
            outcome = await restart(made)

            assert isinstance(outcome, StageFailed)
            assert f"somebody has checked out {COMMITS['a'][:8]}" in str(outcome)
            assert "deploy --force" in outcome.hint
            assert made.supervisor.release is before
            assert before.running

    run(story())


def test_restart_needs_no_git(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            made.trees.heads.clear()
            assert isinstance(await restart(made), Done)

    run(story())


def test_failed_restart_leaves_the_old_one_and_what_it_was_started_with(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            before = made.supervisor.release
            made.launcher.env_file = "KEY=bad"
            outcome = await restart_that_fails(made)

            assert isinstance(outcome, StageFailed)
            assert made.supervisor.release is before
            check_rest(made, "")
            assert not await is_unchanged(made), "the new variables were not applied"

    run(story())


def test_restart_applies_the_env_file(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            made.launcher.env_file = "KEY=new"
            assert isinstance(await restart(made), Done)
            assert await is_unchanged(made)

    run(story())


def test_built_in_variables_are_named(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"build_command": "build"}) as made:
            made.launcher.variables = {"VITE_KEY": "1"}
            await b_is_live(made)
            made.launcher.variables = {"VITE_KEY": "2"}
            outcome = await restart(made)
            assert isinstance(outcome, Done)
            assert any("VITE_KEY" in warning and "deploy --force" in warning for warning in outcome.warnings)

    run(story())


def test_nothing_live_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            with pytest.raises(NothingToRestart):
                await restart(made)
            assert made.store.attempts(9) == []

    run(story())


def test_tree_that_was_lost_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            live = made.store.state().live
            assert live
            made.store.save_contents(live.tree, None)
            made.faults.names.clear()
            outcome = await restart(made)

            assert isinstance(outcome, StageFailed)
            assert "deploy --force" in outcome.hint
            assert "launch" not in made.faults.names
            check_rest(made, "")

    run(story())


def test_app_that_does_not_run_is_started_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            made.launcher.failures += [StageFailed("health", "it answered 500")] * 3
            made.crash()
            await asyncio.sleep(2)
            assert not made.supervisor.running
            made.launcher.failures.clear()
            assert isinstance(await restart(made), Done)
            assert made.supervisor.running
            check_rest(made, "")

    run(story())


@STRATEGIES
def test_side_runs_are_replaced(tmp_path: Path, strategy: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"processes": SIDE_RUNS, "strategy": strategy}) as made:
            await side_runs_are_live(made)
            assert made.supervisor.release
            before = dict(made.supervisor.release.runs)
            assert isinstance(await restart(made), Done)
            await asyncio.sleep(30)

            check_rest(made, "")
            for name in ("worker", "clock"):
                assert not before[name].running
                assert processes_of(before[name]).signals[-1:] == ["SIGTERM"]
            assert not {run.run_id for run in before.values()} & {run.run_id for run in made.running}
            assert {row.release_id for row in made.store.processes()} == {made.supervisor.release.release_id}

    run(story())


def test_daemon_killed_in_a_restart_goes_on_with_the_latest_healthy_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_was_live(made)
            await take_over_of_a_restart(made)
            await asyncio.sleep(10)
            first, second = made.launcher.left
            assert (first.running, second.running) == (True, False)
            assert made.supervisor.release is first
            assert made.supervisor.release.runs.keys() == {WEB}
            check_rest(made, "")

    run(story())
