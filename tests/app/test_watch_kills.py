"""The daemon is killed in each step of a deploy that is watched, and of the return."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done
from tests.app.stories import LONG_S, WITHOUT_PROBES, check_history, check_rest, deploy, machine
from tests.app.watch_stories import GOOD, WATCH_STORIES, killed
from tests.fakes import Faults, run

pytestmark = pytest.mark.usefixtures("quiet", "judged")


@pytest.mark.parametrize("story", ["watch to its end", "worse", "worse after a promotion", "abort", "crash"])
@pytest.mark.parametrize("action", ["rollback", "hold"])
def test_whenever_the_daemon_is_killed_the_next_one_knows(tmp_path: Path, story: str, action: str) -> None:
    before, tell = WATCH_STORIES[story]
    wanted = WITHOUT_PROBES | {"watch_ms": 4_000, "watch_action": action}

    async def steps() -> int:
        async with machine(tmp_path, wanted) as made:
            await before(made)
            made.faults.names.clear()
            await tell(made)
            return len(made.faults.names)

    async def killed_in(at: int) -> None:
        async with machine(tmp_path, wanted, faults := Faults()) as made:
            await before(made)
            faults.names.clear()
            came = asyncio.Event()

            def strike() -> None:
                faults.kill()
                came.set()

            faults.at, faults.strike = at, strike
            telling = asyncio.ensure_future(tell(made))
            await came.wait()
            where = f"killed in step {at}, {faults.names[at - 1]}"
            async with killed(made, tmp_path, wanted) as after:
                after.evidence.new = GOOD
                await after.deployer.recover()
                await after.deployer.operations.idle()
                await asyncio.sleep(LONG_S)
                check_rest(after, where)
                check_history(after, where)
                assert "running" not in {row.result for row in after.store.attempts(10)}, where
                assert isinstance(await deploy(after, "d"), Done), where
                check_rest(after, where)
            telling.cancel()
            await asyncio.wait([telling])

    for at in range(1, run(steps()) + 1):
        run(killed_in(at))
