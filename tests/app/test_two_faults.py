"""Two faults in one story: what follows the first one, such as an undo or the next try, fails or is stopped as well."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.core.errors import KeeperGone
from tests.app.stories import LONG_S, STORIES, check_history, check_rest, config_of, machine, steps
from tests.fakes import Machine, run

pytestmark = pytest.mark.usefixtures("quiet")

FULL = sqlite3.OperationalError("database or disk is full")
GONE = KeeperGone("it is gone")

TOLD = [
    ("second deploy", "overlap"),
    ("second deploy", "replace"),
    ("deploy that fails", "replace"),
    ("deploy without traffic", "overlap"),
    ("crash", "overlap"),
    ("recovery without traffic", "overlap"),
    ("take-over", "overlap"),
    ("crash of the other one", "overlap"),
]


def fail_twice(machine: Machine, first: int, second: int, strike: Callable[[], None] | None = None) -> None:
    """The step `first` fails. In the step `second`, counted from there, it fails again, or `strike` is called."""
    faults = machine.faults

    def fail() -> None:
        """The database has errors of its own."""
        raise FULL if faults.names[-1].startswith(("begin", "save")) else GONE

    def fail_first() -> None:
        faults.at, faults.strike = first + second, strike or fail
        fail()

    faults.names.clear()
    faults.at, faults.strike = first, fail_first


@pytest.mark.parametrize(("story", "strategy"), TOLD)
def test_whatever_fails_twice_the_live_version_serves(tmp_path: Path, story: str, strategy: str) -> None:
    before, tell = STORIES[story]

    async def failed_in(first: int, second: int) -> bool:
        """Whether there was a second step to fail."""
        async with machine(tmp_path, config_of(tell, strategy)) as made:
            await before(made)
            fail_twice(made, first, second)
            await tell(made)
            struck = len(made.faults.names) >= first + second
            made.faults.at = 0
            await asyncio.sleep(LONG_S)
            where = f"failed in steps {first} and {first + second}: {made.faults.names}"
            check_rest(made, where)
            check_history(made, where)
            return struck

    for first in range(1, len(steps(tmp_path, story, strategy)) + 1):
        second = 1
        while run(failed_in(first, second)):
            second += 1


@pytest.mark.parametrize(("story", "strategy"), TOLD)
def test_whenever_the_daemon_stops_after_a_fault_nothing_is_left(tmp_path: Path, story: str, strategy: str) -> None:
    before, tell = STORIES[story]

    async def stopped_in(first: int, second: int) -> bool:
        """Whether there was a second step to stop in."""
        async with machine(tmp_path, config_of(tell, strategy)) as made:
            await before(made)
            came = asyncio.Event()
            fail_twice(made, first, second, came.set)
            telling = asyncio.ensure_future(tell(made))
            coming = asyncio.ensure_future(came.wait())
            await asyncio.wait([telling, coming], return_when=asyncio.FIRST_COMPLETED)
            coming.cancel()
            await made.deployer.stop()
            telling.cancel()
            await asyncio.wait([telling])
            where = f"failed in step {first}, stopped in step {first + second}: {made.faults.names}"
            assert not made.running, where
            check_history(made, where)
            return came.is_set()

    for first in range(1, len(steps(tmp_path, story, strategy)) + 1):
        second = 1
        while run(stopped_in(first, second)):
            second += 1
