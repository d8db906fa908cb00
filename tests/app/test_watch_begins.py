"""What happens in the moment in which a watch begins, before the data plane knows that the old version is ready."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done
from slot_machine.core.errors import StageFailed
from slot_machine.core.upstream import Beside, Counts, Upstream
from tests.app.hold_stories import promote
from tests.app.stories import WITHOUT_PROBES, a_is_live, check_rest, machine
from tests.app.watch_stories import GOOD, deploy_b
from tests.fakes import Machine, processes_of, run

pytestmark = pytest.mark.usefixtures("quiet", "judged")

WATCHED = WITHOUT_PROBES | {"watch_ms": 400_000}


def while_it_begins(made: Machine, monkeypatch: pytest.MonkeyPatch, strike: Callable[[], object]) -> None:
    offer = made.traffic.offer

    async def slowly(beside: Beside | None) -> None:
        if beside and beside.stands_in:
            strike()
            await asyncio.sleep(1)
        await offer(beside)

    monkeypatch.setattr(made.traffic, "offer", slowly)


def while_it_is_routed_to(made: Machine, monkeypatch: pytest.MonkeyPatch, strike: Callable[[], object]) -> None:
    route = made.traffic.route

    async def slowly(upstream: Upstream | None, ready: Upstream | None = None) -> Counts:
        counts = await route(upstream, ready)
        if ready:
            strike()
        return counts

    monkeypatch.setattr(made.traffic, "route", slowly)


def test_a_promote_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await a_is_live(made)
            made.evidence.new = GOOD
            promoting: list[asyncio.Future[object]] = []
            while_it_begins(made, monkeypatch, lambda: promoting.append(asyncio.ensure_future(promote(made))))
            began_s = asyncio.get_running_loop().time()
            assert isinstance(await deploy_b(made), Done)
            assert asyncio.get_running_loop().time() - began_s < 10
            assert isinstance(await promoting[0], Done)
            assert "; kept by somebody before the end" in made.store.attempts(1)[0].verdict
            check_rest(made, "")

    run(story())


@pytest.mark.parametrize("meanwhile", [while_it_begins, while_it_is_routed_to])
def test_the_error_of_a_crash_says_how_it_ended(
    tmp_path: Path,
    meanwhile: Callable[[Machine, pytest.MonkeyPatch, Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await a_is_live(made)
            meanwhile(made, monkeypatch, lambda: processes_of(made.launcher.started[-1]).end(7))
            failed = await deploy_b(made)
            assert isinstance(failed, StageFailed)
            assert str(failed).endswith("so it is taken back: web ended: exit code 7")
            check_rest(made, "")

    run(story())
