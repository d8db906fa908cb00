"""Operations that end in the iteration of the event loop in which they were begun, on a machine in memory."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Outcome
from slot_machine.core.errors import Busy, Cancelled, NothingToRollBackTo, Reloading, Stopping
from slot_machine.core.phases import Phase
from tests.app.stories import a_was_live, b_is_live, check_history, check_rest, deploy, ignored, machine
from tests.fakes import Machine, run

Begin = Callable[[Machine], "asyncio.Task[Outcome]"]

BEGIN: dict[str, Begin] = {
    "deploy": lambda made: made.deployer.deploy("c", "cli", ignored),
    "rollback": lambda made: made.deployer.rollback("cli", ignored),
    "restart": lambda made: made.deployer.restart("cli", ignored),
}
ALL_BEGIN = pytest.mark.parametrize("begin", BEGIN.values(), ids=BEGIN)


@ALL_BEGIN
def test_stop_right_after_the_begin_interrupts_it(tmp_path: Path, begin: Begin) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            begun = begin(made)
            await made.deployer.stop()

            assert isinstance(await begun, Stopping)
            assert made.store.attempts(1)[0].result == "interrupted"
            check_history(made, "")

    run(story())
    gc.collect()  # A coroutine that was never awaited fails the test only when it is collected.


@ALL_BEGIN
def test_cancel_right_after_the_begin_cancels_it(tmp_path: Path, begin: Begin) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            begun = begin(made)

            assert (await made.deployer.operations.cancel()).result == "cancelled"
            assert isinstance(await begun, Cancelled)
            check_rest(made, "")

    run(story())


def test_stop_right_after_the_begin_of_a_recovery_leaves_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_was_live(made)
            recovery = made.deployer.recover()
            await made.deployer.stop()

            assert recovery.done()
            assert not made.running

    run(story())


@pytest.mark.parametrize("refusal", [Stopping, Reloading])
def test_nothing_begins_after_a_refusal(tmp_path: Path, refusal: type[Stopping]) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            operations = made.deployer.operations
            operations.refuse_more(refusal)

            assert operations.ending
            for begin in BEGIN.values():
                with pytest.raises(refusal):
                    begin(made)
            with pytest.raises(refusal):
                await operations.cancel()

    run(story())


def test_second_operation_is_refused_and_told_what_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            first = BEGIN["deploy"](made)
            with pytest.raises(Busy, match=r"another deploy runs \(deploy\)"):
                BEGIN["rollback"](made)
            await asyncio.sleep(0)
            with pytest.raises(Busy, match=r"deploy of \.\.\., stage resolve"):
                BEGIN["rollback"](made)
            await first
            made.deployer.operations.check_free()

    run(story())


def test_idle_waits_for_the_operation_that_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await made.deployer.operations.idle()
            begun = BEGIN["deploy"](made)
            await made.deployer.operations.idle()
            assert begun.done()

    run(story())


def test_operation_that_has_switched_is_not_abandoned(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            begun = BEGIN["deploy"](made)
            operations = made.deployer.operations
            while not operations.running or operations.running.phase is not Phase.DRAIN:  # noqa: ASYNC110 - see `fakes`
                await asyncio.sleep(0)
            await operations.abandon()
            assert not begun.done()
            await begun
            assert made.store.attempts(1)[0].result == "succeeded"

    run(story())


def test_rollback_to_nothing_is_refused_and_leaves_the_way_free(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            with pytest.raises(NothingToRollBackTo):
                BEGIN["rollback"](made)
            await deploy(made, "a")
            check_rest(made, "")

    run(story())
