"""A held candidate on a machine in memory: every step fails once, the daemon stops in every step, and so on."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from slot_machine.app.abort import Aborted
from slot_machine.app.outcomes import Done
from slot_machine.core.errors import KeeperGone
from tests.app.hold_stories import HOLD_STORIES, abort
from tests.app.stories import (
    LONG_S,
    SIDE_RUNS,
    WITHOUT_PROBES,
    check_history,
    check_rest,
    come_to,
    deploy,
    machine,
    stop_in,
)
from tests.fakes import Faults, raising, run

pytestmark = pytest.mark.usefixtures("quiet")

FULL = sqlite3.OperationalError("database or disk is full")
FAULTS = {"named": KeeperGone("it is gone"), "unforeseen": ValueError("embedded null byte")}
EACH_STORY = pytest.mark.parametrize("story", HOLD_STORIES)


def config_of(story: str) -> dict[str, object]:
    return WITHOUT_PROBES | ({"processes": SIDE_RUNS} if "side runs" in story else {})


def steps(data: Path, story: str) -> list[str]:
    before, tell = HOLD_STORIES[story]

    async def names() -> list[str]:
        async with machine(data, config_of(story)) as made:
            await before(made)
            made.faults.names.clear()
            await tell(made)
            names = list(made.faults.names)
            await asyncio.sleep(LONG_S)
            check_rest(made, story)
            return names

    return run(names())


@EACH_STORY
@pytest.mark.parametrize("error", FAULTS.values(), ids=FAULTS)
def test_whatever_fails_the_live_version_serves(tmp_path: Path, story: str, error: Exception) -> None:
    before, tell = HOLD_STORIES[story]

    async def failed_in(at: int, error: Exception) -> None:
        faults = Faults()
        async with machine(tmp_path, config_of(story), faults) as made:
            await before(made)
            faults.names.clear()
            faults.at, faults.strike = at, raising(error)
            await tell(made)
            faults.at = 0
            await asyncio.sleep(LONG_S)
            where = f"failed in step {at}, {faults.names[at - 1]}: {faults.names}"
            check_rest(made, where)
            check_history(made, where)
            assert isinstance(await deploy(made, "d"), Done), where
            await asyncio.sleep(LONG_S)
            check_rest(made, where)
            assert made.deployer.candidates.record is None, where
            assert not {row.result for row in made.store.attempts(100)} & {"running", "held"}, where

    for at, step in enumerate(steps(tmp_path, story), 1):
        run(failed_in(at, FULL if step.startswith(("begin", "save")) else error))


@EACH_STORY
def test_whenever_the_daemon_stops_nothing_is_left(tmp_path: Path, story: str) -> None:
    before, tell = HOLD_STORIES[story]

    async def stopped_in(at: int) -> None:
        faults = Faults()
        async with machine(tmp_path, config_of(story), faults) as made:
            await before(made)
            await stop_in(at, made, tell)
            where = f"stopped in step {at}, {faults.names[at - 1]}: {faults.names}"
            assert not made.running, where
            check_history(made, where)
            candidate = made.deployer.candidates.record
            assert candidate is None or candidate.state == "failed", where

    for at, _ in enumerate(steps(tmp_path, story), 1):
        run(stopped_in(at))


@EACH_STORY
def test_abort_in_every_step(tmp_path: Path, story: str) -> None:
    """Afterwards nothing is held, unless it was live already or another attempt goes on."""
    before, tell = HOLD_STORIES[story]

    async def aborted_in(at: int) -> None:
        faults = Faults()
        async with machine(tmp_path, config_of(story), faults) as made:
            await before(made)
            telling = await come_to(at, made, tell)
            answer = await abort(made)
            await telling
            await asyncio.sleep(LONG_S)
            where = f"aborted in step {at}, {faults.names[at - 1]}: {answer}: {faults.names}"
            check_rest(made, where)
            check_history(made, where)
            assert made.deployer.candidates.record is None, where
            if isinstance(answer, Aborted):
                live = made.store.state().live
                assert live is None or tell.__name__ != "promote" or live.commit != answer.commit, where

    for at, _ in enumerate(steps(tmp_path, story), 1):
        run(aborted_in(at))
