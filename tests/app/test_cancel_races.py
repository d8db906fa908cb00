"""A deploy that is cancelled at every step, on a machine in memory: whatever comes of it is true and whole."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done, Outcome
from slot_machine.core.errors import Cancelled, NothingToCancel, StageFailed, Stopping
from slot_machine.core.model import Attempt
from slot_machine.core.phases import Phase
from tests.app.stories import (
    LONG_S,
    STORIES,
    STRATEGIES,
    a_is_live,
    b_is_live,
    check_history,
    check_rest,
    config_of,
    ignored,
    machine,
    rollback,
    steps,
)
from tests.fakes import Faults, Machine, run

RESULTS = {Done: "succeeded", Cancelled: "cancelled", StageFailed: "failed"}
pytestmark = pytest.mark.usefixtures("quiet")


CANCELLED = (
    "second deploy",
    "deploy with all commands",
    "rehearsed deploy",
    "deploy that fails",
    "deploy whose port is taken",
    "deploy without traffic",
    "rollback",
    "restart",
)


async def cancel(machine: Machine) -> Attempt | NothingToCancel | Stopping:
    try:
        return await machine.deployer.operations.cancel()
    except (NothingToCancel, Stopping) as refusal:
        return refusal


@STRATEGIES
@pytest.mark.parametrize("story", CANCELLED)
def test_cancel_in_every_step(tmp_path: Path, strategy: str, story: str) -> None:
    results = [
        run(_cancelled_in(tmp_path, story, strategy, at)) for at, _ in enumerate(steps(tmp_path, story, strategy), 1)
    ]
    assert results.count("cancelled") > 4


async def _cancelled_in(data: Path, story: str, strategy: str, at: int) -> str:
    before, tell = STORIES[story]
    faults, came = Faults(), asyncio.Event()
    async with machine(data, config_of(tell, strategy), faults) as made:
        await before(made)
        faults.names.clear()
        faults.at, faults.strike = at, came.set
        telling = asyncio.ensure_future(tell(made))
        await came.wait()
        answer = await cancel(made)
        outcome = await telling
        await asyncio.sleep(LONG_S)
        where = f"cancelled in step {at}, {faults.names[at - 1]}: {faults.names}"
        check_rest(made, where)
        check_history(made, where)
        result = made.store.attempts(1, crashes=False)[0].result
        assert result == RESULTS[type(outcome)], where
        assert isinstance(answer, NothingToCancel) is not isinstance(outcome, Cancelled), where
        return result


def test_cancel_in_every_step_while_the_live_version_is_started_again(tmp_path: Path) -> None:
    async def cancelled_in(at: int) -> bool:
        faults, came = Faults(), asyncio.Event()
        async with machine(tmp_path, config_of(rollback, "replace"), faults) as made:
            await b_is_live(made)
            made.crash()
            await asyncio.sleep(0.5)
            faults.names.clear()
            faults.at, faults.strike = at, came.set
            telling = asyncio.ensure_future(rollback(made))
            await asyncio.wait([telling, asyncio.ensure_future(came.wait())], return_when=asyncio.FIRST_COMPLETED)
            await cancel(made)
            await telling
            await asyncio.sleep(LONG_S)
            check_rest(made, f"cancelled in step {at}: {faults.names}")
            return came.is_set()

    at = 1
    while run(cancelled_in(at)):
        at += 1
    assert at > 10


def test_a_second_cancel_in_every_step_of_the_first(tmp_path: Path) -> None:
    async def again_in(at: int) -> bool:
        faults, came = Faults(), asyncio.Event()
        async with machine(tmp_path, config_of(rollback, "replace"), faults) as made:
            await a_is_live(made)
            deploying, first = await _first_cancel(made, faults, at, came)
            await asyncio.wait([first, asyncio.ensure_future(came.wait())], return_when=asyncio.FIRST_COMPLETED)
            second = await cancel(made)
            assert isinstance(await deploying, Cancelled)
            answer = await first
            assert isinstance(answer, Attempt)
            assert answer.result == "cancelled"
            check_rest(made, f"cancelled again in step {at}: {faults.names}")
            return not isinstance(second, NothingToCancel)

    at = 1
    while run(again_in(at)):
        at += 1
    assert at > 2


@STRATEGIES
def test_stop_in_every_step_of_a_cancel(tmp_path: Path, strategy: str) -> None:
    async def stopped_in(at: int) -> bool:
        faults, came = Faults(), asyncio.Event()
        async with machine(tmp_path, config_of(rollback, strategy), faults) as made:
            await a_is_live(made)
            deploying, first = await _first_cancel(made, faults, at, came)
            await asyncio.wait([first, asyncio.ensure_future(came.wait())], return_when=asyncio.FIRST_COMPLETED)
            ended = first.done()
            await made.deployer.stop()
            assert not made.running
            assert isinstance(await deploying, Cancelled | Stopping)
            assert isinstance(await first, Attempt | Stopping)
            assert made.store.attempts(1)[0].result in ("cancelled", "interrupted")
            return not ended

    at = 1
    while run(stopped_in(at)):
        at += 1
    assert at > 2


async def _first_cancel(
    machine: Machine, faults: Faults, at: int, came: asyncio.Event, strike: Callable[[], None] | None = None
) -> tuple["asyncio.Task[Outcome]", "asyncio.Task[Attempt | NothingToCancel | Stopping]"]:
    """Cancels a deploy in its start. In the step with the number `at` from then on, or at once, `came` is set."""
    deploying = machine.deployer.deploy("b", "cli", ignored)

    def starts() -> bool:
        return (
            machine.deployer.operations.running is not None and machine.deployer.operations.running.phase is Phase.START
        )

    while not starts():  # noqa: ASYNC110 - in this time it costs nothing
        await asyncio.sleep(0)
    faults.names.clear()
    faults.at, faults.strike = at, strike or came.set
    if not at:
        faults.strike()
    return deploying, asyncio.ensure_future(cancel(machine))


def test_cancel_of_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            answer = await cancel(made)
            assert isinstance(answer, NothingToCancel)
            assert "no deploy runs" in str(answer)

    run(story())


@STRATEGIES
def test_cancel_while_the_database_cannot_be_read(tmp_path: Path, strategy: str) -> None:
    async def unreadable_from(at: int) -> bool:
        faults = Faults()
        async with machine(tmp_path, config_of(rollback, strategy), faults) as made:
            await a_is_live(made)

            def strike() -> None:
                made.store.unreadable = sqlite3.OperationalError("disk I/O error")

            deploying, cancelling = await _first_cancel(made, faults, at, asyncio.Event(), strike)
            await cancelling
            outcome = await deploying
            struck, made.store.unreadable = made.store.unreadable is not None, None
            where = f"unreadable in step {at}: {faults.names}"
            assert isinstance(outcome, Cancelled | StageFailed), where
            assert made.store.attempts(1)[0].result in ("cancelled", "failed"), where
            check_rest(made, where)
            check_history(made, where)
            assert not made.supervisor.monitor.deploying, where
            return struck

    at = 0
    while run(unreadable_from(at)):
        at += 1
    assert at > 1
