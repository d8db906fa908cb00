"""A deploy of what is live already, and variables that only a build applies, on a machine in memory."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done, Outcome, Unchanged, Wishes
from slot_machine.core.errors import CommitNotFound, GitFailed, Stopping
from tests.app.stories import (
    STRATEGIES,
    WITHOUT_PROBES,
    a_is_live,
    b_is_live,
    check_rest,
    come_to,
    crash_and_restart,
    deploy,
    ignored,
    machine,
    rollback,
)
from tests.fakes import COMMITS, Machine, raising, run

BUILT = WITHOUT_PROBES | {"build_command": "build"}


async def if_changed(machine: Machine, commit: str = "b") -> Outcome:
    return await machine.deployer.deploy(commit, "cli", ignored, Wishes(if_changed=True))


@STRATEGIES
def test_nothing_is_done_and_nothing_is_in_the_history(tmp_path: Path, strategy: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": strategy}) as made:
            await b_is_live(made)
            release, attempts = made.supervisor.release, len(made.store.attempts(99))
            made.faults.names.clear()
            outcome = await if_changed(made)

            assert isinstance(outcome, Unchanged)
            assert (outcome.version.commit, outcome.previous_commit) == (COMMITS["b"], COMMITS["a"])
            assert set(made.faults.names) <= {"resolve", "file at"}, "it only looked"
            assert made.supervisor.release is release
            assert len(made.store.attempts(99)) == attempts

    run(story())


def test_commit_that_a_client_will_push_is_refused_without_an_entry_in_the_history(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES) as made:
            await a_is_live(made)
            attempts = len(made.store.attempts(99))
            outcome = await made.deployer.deploy("nothing", "cli", ignored, Wishes(if_known=True))

            assert isinstance(outcome, CommitNotFound)
            assert len(made.store.attempts(99)) == attempts
            assert isinstance(await made.deployer.deploy("b", "cli", ignored, Wishes(if_known=True)), Done)

    run(story())


def test_without_that_wish_a_deploy_is_a_deploy(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            release = made.supervisor.release
            assert isinstance(await deploy(made, "a"), Done)
            assert made.supervisor.release is not release

    run(story())


def test_other_commit_other_environment_or_no_health_is_a_change(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            assert isinstance(await if_changed(made, "a"), Done), "nothing is live"
            assert isinstance(await if_changed(made, "b"), Done)
            made.launcher.env_file = "KEY=new"
            assert isinstance(await if_changed(made), Done)
            assert isinstance(await if_changed(made), Unchanged)
            made.crash()
            await asyncio.sleep(0.1)
            assert not made.supervisor.healthy
            assert isinstance(await if_changed(made), Done)

    run(story())


def test_other_configuration_is_a_change(tmp_path: Path) -> None:
    """A commit without a file of its own takes the daemon's, which a reload may have changed."""

    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            made.trees.files[COMMITS["b"]] = b'{"start_command": "app", "drain_timeout_ms": 1}'
            assert isinstance(await if_changed(made), Done)
            assert isinstance(await if_changed(made), Unchanged)

    run(story())


def test_restart_applies_the_environment(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            made.launcher.env_file = "KEY=new"
            await crash_and_restart(made)
            assert isinstance(await if_changed(made), Unchanged)

    run(story())


def test_what_cannot_be_told_is_left_to_the_deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            assert isinstance(await if_changed(made, "zz"), CommitNotFound)
            monkeypatch.setattr(made.trees, "resolve", lambda _: raising(GitFailed("broken"))())
            outcome = await if_changed(made)
            assert "broken" in str(outcome)
            assert made.store.attempts(1)[0].result == "failed"

    run(story())


def test_daemon_that_stops_while_it_looks_answers(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            begun = await come_to(
                1, made, lambda made: made.deployer.deploy("b", "cli", ignored, Wishes(if_changed=True))
            )
            await made.deployer.stop()
            assert isinstance(await begun, Stopping)

    run(story())


def test_variable_that_was_built_in_is_named_when_it_changed(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, BUILT) as made:
            made.launcher.variables = {"NEXT_PUBLIC_API": "one", "VITE_KEY": "1", "SECRET": "x"}
            await b_is_live(made)
            made.launcher.variables = {"NEXT_PUBLIC_API": "two", "VITE_KEY": "1", "SECRET": "y", "REACT_APP_NEW": "1"}
            back = await rollback(made)

            assert isinstance(back, Done)
            assert back.warnings == (
                "NEXT_PUBLIC_API and REACT_APP_NEW changed since aaaaaaaa in slot a was built:"
                " only a new build applies that, such as by `slot-machine deploy --force`",
            )
            again = await deploy(made, "a")
            assert isinstance(again, Done)
            assert again.warnings == (), "a deploy builds"
            check_rest(made, "")

    run(story())


def test_version_that_was_never_built_has_no_such_variables(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            made.launcher.variables = {"NEXT_PUBLIC_API": "one"}
            await b_is_live(made)
            made.launcher.variables = {}
            back = await rollback(made)
            assert isinstance(back, Done)
            assert back.warnings == ()

    run(story())
