"""To which versions a rollback may go, on a machine in memory."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from slot_machine.app.outcomes import Done, Outcome
from slot_machine.core.errors import CommitNotFound, NeverLive, NothingToRollBackTo, StageFailed, Stopping
from slot_machine.core.model import Attempt, State
from slot_machine.core.phases import Phase
from tests.app.stories import (
    ALL_COMMANDS,
    LONG_S,
    STRATEGIES,
    WITHOUT_PROBES,
    b_is_live,
    c_is_live,
    check_history,
    check_rest,
    come_to,
    deploy,
    failed_deploy,
    ignored,
    machine,
    restart,
    rollback,
)
from tests.fakes import COMMITS, Faults, Machine, raising, run

FULL = sqlite3.OperationalError("database or disk is full")

A, B, C = (COMMITS[name] for name in "abc")


async def back_to(machine: Machine, to: str) -> Outcome:
    return await machine.deployer.rollback("cli", ignored, to=to)


def live_and_previous(machine: Machine) -> tuple[str, str]:
    state = machine.store.state()
    assert state.live
    assert state.previous
    return state.live.commit, state.previous.commit


def tell(data: Path, story: Callable[[Machine], Awaitable[None]], **config: object) -> None:
    async def told() -> None:
        async with machine(data, WITHOUT_PROBES | config) as made:
            await c_is_live(made)
            made.faults.names.clear()
            await story(made)
            check_rest(made, "")

    run(told())


@STRATEGIES
@pytest.mark.parametrize("to", ["1", "aaaa", A, "a"], ids=["id", "prefix", "hash", "ref"])
def test_version_that_no_slot_has_is_prepared_again(tmp_path: Path, strategy: str, to: str) -> None:
    async def story(made: Machine) -> None:
        made.shell.ran.clear()
        outcome = await back_to(made, to)

        assert isinstance(outcome, Done)
        assert (outcome.kind, outcome.version.commit) == ("rollback", A)
        assert live_and_previous(made) == (A, C)
        assert made.shell.ran == ["setup", "build"], "no release command runs"
        (last,) = made.store.attempts(1)
        assert (last.kind, last.commit, last.result) == ("rollback", A, "succeeded")
        assert isinstance(await rollback(made), Done)
        assert live_and_previous(made) == (C, A)

    tell(tmp_path, story, strategy=strategy, **ALL_COMMANDS)


def test_previous_version_comes_from_its_slot(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        assert isinstance(await back_to(made, "bbbb"), Done)
        assert "checkout" not in made.faults.names
        assert live_and_previous(made) == (B, C)

    tell(tmp_path, story)


def test_version_comes_back_with_its_own_configuration(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        made.trees.files[A] = b'{"start_command": "other"}'
        outcome = await back_to(made, "1")
        assert isinstance(outcome, Done)
        assert outcome.version.config.start_command == "app"

    tell(tmp_path, story)


def test_versions_of_one_commit_are_told_apart_by_their_attempts(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        made.trees.files[C] = b'{"start_command": "another"}'
        assert isinstance(await deploy(made, "c"), Done)
        outcome = await back_to(made, "3")
        assert isinstance(outcome, Done)
        assert (outcome.version.commit, outcome.version.config.start_command) == (C, "app")
        assert live_and_previous(made) == (C, B)

    tell(tmp_path, story)


def test_version_without_a_known_configuration_gets_that_of_its_commit(tmp_path: Path) -> None:
    """As an early release has left it in the history."""

    async def story(made: Machine) -> None:
        first = made.store.attempt(1)
        assert first
        made.store.save_attempt(msgspec.structs.replace(first, config=""))
        made.trees.files[A] = b'{"start_command": "of its file"}'
        outcome = await back_to(made, A)
        assert isinstance(outcome, Done)
        assert outcome.version.config.start_command == "of its file"

    tell(tmp_path, story)


@pytest.mark.parametrize("to", ["4", "dddd", "d", "99", "nothing", "--help", "cc", "-", "0"])
def test_what_was_never_live_is_refused_with_a_list_of_what_was(tmp_path: Path, to: str) -> None:
    async def story(made: Machine) -> None:
        made.launcher.failures.append(StageFailed("health", "it answered 500"))
        assert isinstance(await deploy(made, "d"), StageFailed)
        made.faults.names.clear()
        outcome = await back_to(made, to)

        assert isinstance(outcome, NeverLive)
        first, *listed = outcome.hint.splitlines()
        assert first.startswith("`slot-machine rollback ID`")
        assert [line.split()[:2] for line in listed] == [["2", B[:8]], ["1", A[:8]]]
        assert ("attempt 4 (deploy of dddddddd, failed)" in str(outcome)) == (to == "4")
        assert set(made.faults.names) <= {"resolve"}, "nothing was begun"
        assert len(made.store.attempts(99)) == 4

    tell(tmp_path, story)


def test_live_version_is_refused(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        for to in ("3", C):
            outcome = await back_to(made, to)
            assert isinstance(outcome, NothingToRollBackTo)
            assert "slot-machine restart" in outcome.hint

    tell(tmp_path, story)


def test_what_may_be_several_versions_is_refused(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        (last,) = made.store.attempts(1)
        for commit in ("abc1" + "1" * 36, "abc1" + "2" * 36):
            begun = made.store.begin(last)
            made.store.save_attempt(msgspec.structs.replace(last, id=begun.id, commit=commit))
        outcome = await back_to(made, "abc1")
        assert isinstance(outcome, NeverLive)
        assert [line.split()[0] for line in outcome.hint.splitlines()[1:]] == ["5", "4"]

    tell(tmp_path, story)


def test_commit_that_git_has_lost_is_named_as_one_that_was_live(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        (last,) = made.store.attempts(1)
        begun = made.store.begin(last)
        made.store.save_attempt(msgspec.structs.replace(last, id=begun.id, commit="4" * 40))
        for to in ("4444", str(begun.id)):
            outcome = await back_to(made, to)
            assert isinstance(outcome, CommitNotFound)
            assert str(outcome) == f"git does not have 44444444 any more, the commit of attempt {begun.id}"
            assert "roll back again" in outcome.hint

    tell(tmp_path, story)


def test_no_room_fails_the_rollback_in_its_checkout(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        made.deployer._parts.slots.occupancy.ask(lambda _: ["a job"])
        outcome = await back_to(made, A)
        assert isinstance(outcome, StageFailed)
        (last,) = made.store.attempts(1)
        assert (last.stage, outcome.stage) == (Phase.CHECKOUT, Phase.CHECKOUT)
        assert live_and_previous(made) == (C, B)

    tell(tmp_path, story)


def test_daemon_that_stops_while_it_looks_answers(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await c_is_live(made)
            begun = await come_to(1, made, lambda made: made.deployer.rollback("cli", ignored, to=A))
            await made.deployer.stop()
            assert isinstance(await begun, Stopping)

    run(story())


def test_daemon_killed_after_the_switch_has_made_it_live() -> None:
    attempt = Attempt(id=1, kind="deploy", trigger="cli", started_at="", stage="drain", result="interrupted")
    assert not attempt.went_live, "under replace, the old version drains before the switch"
    attempt.stage_seconds["switch"] = 0.1
    assert attempt.went_live
    attempt.result = "failed"
    assert not attempt.went_live


def test_restart_is_no_other_version(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        assert isinstance(await restart(made), Done)
        assert isinstance(await failed_deploy(made), StageFailed)
        outcome = await back_to(made, "zzz")
        assert isinstance(outcome, NeverLive)
        assert [line.split()[0] for line in outcome.hint.splitlines()[1:]] == ["2", "1"]

    tell(tmp_path, story)


def test_nothing_was_ever_live(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            outcome = await back_to(made, "1")
            assert isinstance(outcome, NeverLive)
            assert made.store.state() == State()
            await b_is_live(made)

    run(story())


def test_crashes_hide_no_version(tmp_path: Path) -> None:
    """As those of an app that crashes for days."""

    async def story(made: Machine) -> None:
        (last,) = made.store.attempts(1)
        for _ in range(1100):
            crash = made.store.begin(msgspec.structs.replace(last, kind="crash", result="failed"))
        outcome = await back_to(made, str(crash.id))
        assert isinstance(outcome, NeverLive)
        assert f"attempt {crash.id} (crash of cccccccc, failed) made no version live" in str(outcome)
        assert isinstance(await back_to(made, "1"), Done)

    tell(tmp_path, story)


@pytest.mark.usefixtures("quiet")
def test_whatever_fails_the_live_version_serves(tmp_path: Path) -> None:
    """Each step once. It is a deploy without its release command, which is tried in more ways."""

    async def failed_in(at: int) -> list[str]:
        faults = Faults()
        async with machine(tmp_path, WITHOUT_PROBES, faults) as made:
            await c_is_live(made)
            faults.names.clear()
            faults.at, faults.strike = at, raising(FULL)
            outcome = await back_to(made, A)
            faults.at = 0
            where = f"failed in step {at}: {faults.names}"
            names = list(faults.names)
            assert live_and_previous(made) == ((A, C) if isinstance(outcome, Done) else (C, B)), where
            check_history(made, where)
            await asyncio.sleep(LONG_S)
            check_rest(made, where)
            return names

    for at, _ in enumerate(run(failed_in(0)), 1):
        run(failed_in(at))
