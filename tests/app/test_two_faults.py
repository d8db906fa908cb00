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
    ("crash of a side run", "overlap"),
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


def pairs(data: Path, story: str, strategy: str) -> list[tuple[int, int]]:
    """Where to strike. A fault counts as a first one only if other steps follow it than without it."""
    before, tell = STORIES[story]

    async def after(first: int) -> list[str]:
        async with machine(data, config_of(tell, strategy)) as made:
            await before(made)
            fail_twice(made, first, 1, lambda: None)
            await tell(made)
            return made.faults.names[first:]

    names, found = steps(data, story, strategy), {}
    for first, name in enumerate(names, 1):
        rest = run(after(first))
        if rest != names[first:]:
            found[name, *rest] = [(first, second) for second in range(1, len(rest) + 1)]
    return [pair for of_one in found.values() for pair in of_one]


@pytest.mark.parametrize(("story", "strategy"), TOLD)
def test_whatever_fails_twice_the_live_version_serves(tmp_path: Path, story: str, strategy: str) -> None:
    before, tell = STORIES[story]

    async def failed_in(first: int, second: int) -> None:
        async with machine(tmp_path, config_of(tell, strategy)) as made:
            await before(made)
            fail_twice(made, first, second)
            await tell(made)
            made.faults.at = 0
            await asyncio.sleep(LONG_S)
            where = f"failed in steps {first} and {first + second}: {made.faults.names}"
            check_rest(made, where)
            check_history(made, where)

    for pair in pairs(tmp_path, story, strategy):
        run(failed_in(*pair))


@pytest.mark.parametrize(("story", "strategy"), TOLD)
def test_whenever_the_daemon_stops_after_a_fault_nothing_is_left(tmp_path: Path, story: str, strategy: str) -> None:
    before, tell = STORIES[story]

    async def stopped_in(first: int, second: int) -> None:
        async with machine(tmp_path, config_of(tell, strategy)) as made:
            await before(made)
            came = asyncio.Event()
            fail_twice(made, first, second, came.set)
            telling = asyncio.ensure_future(tell(made))
            await came.wait()
            await made.deployer.stop()
            telling.cancel()
            await asyncio.wait([telling])
            where = f"failed in step {first}, stopped in step {first + second}: {made.faults.names}"
            assert not made.running, where
            check_history(made, where)

    for pair in pairs(tmp_path, story, strategy):
        run(stopped_in(*pair))
