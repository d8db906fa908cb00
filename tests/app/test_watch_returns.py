"""A return to the version before that fails: what is said of it is true."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from slot_machine.core.errors import Cancelled, NothingToCancel, SlotMachineError, StageFailed
from slot_machine.core.model import WEB
from tests.app.stories import WITHOUT_PROBES, a_is_live, check_rest, machine
from tests.app.watch_stories import BAD, GOOD, begun, deploy_b
from tests.fakes import COMMITS, Machine, processes_of, run

pytestmark = pytest.mark.usefixtures("quiet", "judged")


async def it_proves_worse(made: Machine) -> None:
    made.evidence.new = BAD


async def somebody_cancels(made: Machine) -> None:
    with pytest.raises(NothingToCancel, match="the new version stays live"):
        await made.deployer.operations.cancel()


@pytest.mark.parametrize(("returns", "kind"), [(it_proves_worse, StageFailed), (somebody_cancels, Cancelled)])
def test_a_version_that_could_not_be_taken_back_is_said_to_stay(
    tmp_path: Path, returns: Callable[[Machine], Awaitable[None]], kind: type[SlotMachineError]
) -> None:
    """The old one has ended meanwhile, and does not start any more."""

    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"watch_ms": 400_000}) as made:
            await a_is_live(made)
            old = made.supervisor.release
            assert old
            deploying = await begun(made, deploy_b)
            processes_of(old.runs[WEB]).end(9)
            await asyncio.sleep(1)
            made.launcher.failures.append(StageFailed("health", "it answered 500"))
            await returns(made)
            failed = await deploying
            made.evidence.new = GOOD
            assert isinstance(failed, kind)
            assert str(failed).endswith("; that failed, so bbbbbbbb in slot b stays live")
            assert failed.warnings == ("could not go back to aaaaaaaa in slot a: it answered 500",)
            last = made.store.attempts(1, crashes=False)[0]
            assert (last.result, last.error) == ("failed" if kind is StageFailed else "cancelled", str(failed))
            live = made.store.state().live
            assert live
            assert live.commit == COMMITS["b"]
            check_rest(made, "")

    run(story())
