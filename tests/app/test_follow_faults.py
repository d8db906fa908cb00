"""Each step of a deploy fails once while a branch is followed."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.core.errors import StageFailed
from tests.app.follow_stories import FOLLOWED, B, C, followed, in_time
from tests.app.stories import ALL_COMMANDS
from tests.fakes import Faults, raising, run

STRIKES: dict[str, Callable[[], Exception]] = {
    "disk": lambda: OSError(28, "No space left on device"),
    "database": lambda: sqlite3.OperationalError("disk I/O error"),
    "stage": lambda: StageFailed("health", "it answered 500"),
}


def steps_of_a_deploy(data: Path) -> tuple[int, int]:
    """Of the machine, while the second commit is deployed: the first and the last one."""
    faults = Faults()
    numbers: list[int] = []

    async def story() -> None:
        async with followed(data, FOLLOWED | ALL_COMMANDS, faults=faults) as made:
            await made.rests()
            numbers.append(len(faults.names))
            made.remote.at = B
            await made.look()
            numbers.append(len(faults.names))

    run(story())
    return numbers[0], numbers[1]


@pytest.mark.parametrize("error", STRIKES)
def test_whatever_step_fails_it_goes_on_and_the_next_commit_is_deployed(tmp_path: Path, error: str) -> None:
    first, last = steps_of_a_deploy(tmp_path)
    assert last - first > 20

    async def story(at: int) -> None:
        faults = Faults(at, raising(STRIKES[error]()))
        async with followed(tmp_path, FOLLOWED | ALL_COMMANDS, faults=faults) as made:
            await made.rests()
            made.remote.at = B
            await made.looks(3)
            assert made.live in ("a", "b")
            assert made.live == "b" or made.following.status.state == "left_out", faults.names[at - 1]
            made.remote.at = C
            await in_time(lambda: made.live == "c")
            assert made.following.status.error == ""

    for at in range(first + 1, last + 1):
        run(story(at))
