"""Setup, build and release commands of a deploy, on a machine in memory."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done
from slot_machine.core.errors import Busy, Cancelled, NothingToCancel, StageFailed, Stopping
from slot_machine.core.phases import HALF_MIGRATED
from tests.app.stories import (
    ALL_COMMANDS,
    STRATEGIES,
    WITHOUT_PROBES,
    a_is_live,
    a_was_live,
    b_is_live,
    check_history,
    check_rest,
    crash_and_restart,
    deploy,
    ignored,
    machine,
    recovery,
    rollback,
)
from tests.fakes import Machine, run, until

CONFIG = WITHOUT_PROBES | ALL_COMMANDS


async def release_runs(machine: Machine) -> None:
    await until(lambda: machine.shell.running == ["release"])


@STRATEGIES
def test_each_runs_once_in_a_deploy_and_before_the_new_version_starts(tmp_path: Path, strategy: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG | {"strategy": strategy}) as made:
            await a_is_live(made)
            made.faults.names.clear()
            made.shell.ran.clear()
            await deploy(made, "b")

            assert made.shell.ran == ["setup", "build", "release"]
            names = made.faults.names
            assert names.index("checkout") < names.index("setup") < names.index("build") < names.index("save contents")
            assert names.index("save contents") < names.index("release") < names.index("launch")
            assert list(made.store.attempts(1)[0].stage_seconds)[:5] == [
                "resolve",
                "checkout",
                "setup",
                "build",
                "release",
            ]

    run(story())


def test_rollback_crash_and_recovery_run_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await b_is_live(made)
            made.shell.ran.clear()
            await rollback(made)
            await crash_and_restart(made)
            assert made.shell.ran == []

    run(story())


def test_failure_of_a_tool_that_is_known_gets_a_hint(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            made.shell.prints = b"Error: Cannot find matching keyid: {}\n"
            made.shell.fails = "setup"
            failed = await deploy(made, "a")
            assert isinstance(failed, StageFailed)
            assert failed.hint.startswith("corepack is older")

    run(story())


def test_rollback_names_the_release_commands_that_ran_since(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await b_is_live(made)
            made.shell.code = 3
            await deploy(made, "c")
            made.shell.code = 0
            back = await rollback(made)
            forth = await rollback(made)

            assert isinstance(back, Done)
            assert isinstance(forth, Done)
            assert back.warnings == (
                "release commands ran since aaaaaaaa in slot a was deployed, and are not undone: `release` of bbbbbbbb",
            ), "the setup of c failed, so its release command did not run"
            assert forth.warnings == (), "the release command of b was the last one"

            made.shell.fails = "release"
            await deploy(made, "c")
            await deploy(made, "d")
            again = await rollback(made)
            assert isinstance(again, Done)
            assert "`release` of cccccccc, which failed" in again.warnings[0]

    run(story())


def test_version_that_was_live_when_the_daemon_was_killed_counts_as_deployed(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await b_is_live(made)
            of_b, of_a = made.store.attempts(2)
            assert (of_a.stage, of_a.result) == ("drain", "succeeded")
            of_a.result = "interrupted"
            made.store.save_attempt(of_a)

            back = await rollback(made)

            assert isinstance(back, Done)
            assert back.warnings[0].endswith(f"are not undone: `{of_b.released}` of bbbbbbbb")

    run(story())


def test_recovery_that_prepares_again_does_not_release_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_was_live(made)
            made.trees.heads.clear()
            made.shell.ran.clear()
            await recovery(made)
            assert made.shell.ran == ["setup", "build"]

    run(story())


def test_rollback_that_prepares_again_does_not_release_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await b_is_live(made)
            previous = made.store.state().previous
            assert previous
            made.store.save_contents(previous.tree, None)
            made.shell.ran.clear()
            assert isinstance(await rollback(made), Done)
            assert made.shell.ran == ["setup", "build"]

    run(story())


@STRATEGIES
@pytest.mark.parametrize("stage", ["build", "release"])
def test_failure_leaves_the_live_version_untouched(tmp_path: Path, strategy: str, stage: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": strategy, f"{stage}_command": stage}) as made:
            await a_is_live(made)
            release, history = made.supervisor.release, list(made.traffic.history)
            made.shell.code = 3
            outcome = await deploy(made, "b")

            assert isinstance(outcome, StageFailed)
            assert (outcome.stage, outcome.output) == (stage, ("installing",))
            assert str(outcome) == f"{stage}_command failed with exit code 3: {stage}"
            assert (outcome.hint == HALF_MIGRATED) is (stage == "release")
            assert made.supervisor.release is release, "it was not stopped"
            assert made.traffic.history == history
            check_rest(made, "")
            check_history(made, "")

    run(story())


@pytest.mark.parametrize(("stage", "limit"), [("build", "setup_timeout_ms"), ("release", "release_timeout_ms")])
def test_one_that_does_not_end_is_ended_and_its_limit_named(tmp_path: Path, stage: str, limit: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {f"{stage}_command": stage, limit: 3000}) as made:
            await a_is_live(made)
            made.shell.hangs = True
            outcome = await deploy(made, "b")

            assert isinstance(outcome, StageFailed)
            assert f"{stage}_command did not end within 3 s" in str(outcome)
            assert limit in outcome.hint
            check_rest(made, "")

    run(story())


@STRATEGIES
def test_release_command_is_cancelled_only_by_force(tmp_path: Path, strategy: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": strategy, "release_command": "release"}) as made:
            await a_is_live(made)
            made.shell.hangs = True
            deploying = made.deployer.deploy("b", "cli", ignored)
            await release_runs(made)
            with pytest.raises(NothingToCancel, match="release_command runs") as refused:
                await made.deployer.operations.cancel()
            assert "cancel --force" in refused.value.hint
            assert made.shell.running, "it goes on"

            cancelled = await made.deployer.operations.cancel(force=True)

            assert (cancelled.result, cancelled.stage) == ("cancelled", "release")
            assert HALF_MIGRATED in made.store.attempts(1)[0].error
            assert isinstance(await deploying, Cancelled)
            check_rest(made, "")

    run(story())


def test_no_other_deploy_begins_while_it_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"release_command": "release"}) as made:
            made.shell.hangs = True
            made.deployer.deploy("b", "cli", ignored)
            await release_runs(made)
            with pytest.raises(Busy, match="stage release"):
                made.deployer.deploy("c", "cli", ignored)
            await made.deployer.operations.cancel(force=True)

    run(story())


def test_daemon_that_stops_ends_it_and_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"release_command": "release"}) as made:
            made.shell.hangs = True
            deploying = made.deployer.deploy("b", "cli", ignored)
            await release_runs(made)
            await made.deployer.stop()

            outcome = await asyncio.wait_for(deploying, 60)
            assert isinstance(outcome, Stopping)
            assert HALF_MIGRATED in made.store.attempts(1)[0].error
            assert not made.shell.running

    run(story())


def test_daemon_that_was_killed_meanwhile_is_in_the_history(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"release_command": "release"}) as made:
            made.shell.hangs = True
            made.deployer.deploy("b", "cli", ignored)
            await release_runs(made)
            made.store.interrupt_unfinished()

            assert made.store.attempts(1)[0].error == f"the daemon ended; {HALF_MIGRATED}"
            await made.deployer.operations.cancel(force=True)

    run(story())
