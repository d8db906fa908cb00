"""What happens in the very moment in which a candidate begins to be held, gets a share, or is promoted."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.app.assets import Assets
from slot_machine.app.outcomes import Done
from slot_machine.core.errors import Cancelled, Impossible, NothingToCancel, Stopping
from slot_machine.core.model import Attempt
from slot_machine.core.upstream import Beside, Counts, Upstream
from tests.app.hold_stories import abort, b_has_a_share, b_is_held, hold, larger_share, promote
from tests.app.stories import WITHOUT_PROBES, Story, a_is_live, check_history, check_rest, come_to, machine
from tests.app.watch_stories import BAD
from tests.fakes import Machine, processes_of, run

pytestmark = pytest.mark.usefixtures("quiet", "judged")


def when_offered(made: Machine, monkeypatch: pytest.MonkeyPatch, strike: Callable[[Beside], None]) -> None:
    """It is called when the data plane has got a candidate, and the answer takes some seconds more."""
    offer = made.traffic.offer

    async def slowly(beside: Beside | None) -> None:
        await offer(beside)
        if beside:
            strike(beside)
            await asyncio.sleep(3)

    monkeypatch.setattr(made.traffic, "offer", slowly)


@pytest.mark.parametrize("ends", ["cancel", "abort"])
def test_whenever_a_hold_is_broken_off_nothing_is_held(tmp_path: Path, ends: str) -> None:
    async def steps() -> int:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            made.faults.names.clear()
            await hold(made)
            return len(made.faults.names)

    async def broken_off_in(at: int) -> None:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            told = len(made.told)
            holding = await come_to(at, made, hold)
            answer = await (abort(made) if ends == "abort" else cancelled(made))
            outcome = await holding
            await asyncio.sleep(60)
            where = f"broken off in step {at}, {made.faults.names[at - 1]}: {answer}"
            check_rest(made, where)
            check_history(made, where)
            if isinstance(outcome, Cancelled):
                assert made.deployer.candidates.record is None, where
                assert not made.traffic.beside, where
                assert getattr(answer, "state", "") == "", where
                assert made.store.attempts(1)[0].error == str(outcome), where
            failures = [notice for notice in made.told[told:] if notice.event == "deploy_failed"]
            assert len(failures) == (0 if isinstance(answer, NothingToCancel) else 1), where

    for at in range(1, run(steps()) + 1):
        run(broken_off_in(at))


async def cancelled(made: Machine) -> Attempt | NothingToCancel:
    try:
        return await made.deployer.operations.cancel()
    except NothingToCancel as refused:
        return refused


def test_one_that_ends_when_it_begins_to_be_held_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES) as made:
            await a_is_live(made)
            when_offered(made, monkeypatch, lambda _: processes_of(made.launcher.started[-1]).end(7))
            assert isinstance(await hold(made), Done)
            await asyncio.sleep(1)
            candidate, deployed = made.deployer.candidates.record, made.store.attempts(1)[0]
            assert candidate
            assert candidate.state == deployed.result == "failed"
            assert candidate.error == deployed.error == "it ended while it was held: exit code 7"
            check_rest(made, "")

    run(story())


@pytest.mark.parametrize("action", ["hold", "rollback"])
def test_one_that_is_taken_back_while_it_gets_a_larger_share_has_none(
    tmp_path: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"watch_ms": 4_000, "watch_action": action}) as made:
            await b_has_a_share(made)

            def is_worse(beside: Beside) -> None:
                if beside.share == 5000:
                    made.evidence.new = BAD

            when_offered(made, monkeypatch, is_worse)
            refused = await larger_share(made)
            assert isinstance(refused, Impossible)
            assert "90 of 300" in str(refused)
            await asyncio.sleep(60)
            candidate = made.deployer.candidates.record
            assert candidate
            assert (candidate.state, candidate.runs_on) == ("failed", action == "hold")
            assert [attempt.result for attempt in made.store.attempts(2)] == ["failed", "shared"]
            assert not made.deployer.candidates.share_watch.judging
            check_rest(made, "")

    run(story())


@pytest.mark.parametrize("before", [b_is_held, b_has_a_share])
def test_a_promotion_that_is_cancelled_while_assets_are_linked_leaves_it_held(
    tmp_path: Path, before: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that the live version is to have if the candidate is taken back."""

    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"watch_ms": 4_000}) as made:
            await before(made)
            was = made.deployer.candidates.record
            links = asyncio.Event()

            async def slowly(*_: object) -> None:
                links.set()
                await asyncio.sleep(10)

            with monkeypatch.context() as patch:
                patch.setattr(Assets, "link", slowly)
                promoting = asyncio.ensure_future(promote(made))
                await links.wait()
                await made.deployer.operations.cancel()
                assert isinstance(await promoting, Cancelled)
            assert made.deployer.candidates.record == was
            check_rest(made, "")
            assert isinstance(await promote(made), Done)

    run(story())


def test_one_whose_promotion_the_daemon_breaks_off_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES) as made:
            await b_is_held(made)
            switches = asyncio.Event()
            route = made.traffic.route

            async def slowly(upstream: Upstream | None, ready: Upstream | None = None) -> Counts:
                counts = await route(upstream, ready)
                switches.set()
                await asyncio.sleep(1)
                return counts

            monkeypatch.setattr(made.traffic, "route", slowly)
            promoting = asyncio.ensure_future(promote(made))
            await switches.wait()
            await made.deployer.stop()
            assert isinstance(await promoting, Stopping)
            candidate = made.deployer.candidates.record
            assert candidate
            assert candidate.error == "its promotion was broken off"

    run(story())
