"""A watched version on a machine in memory: every step fails once, the daemon stops in every step, and so on."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from slot_machine.app.abort import Aborted
from slot_machine.app.outcomes import Done
from slot_machine.core.errors import KeeperGone
from tests.app.hold_stories import abort
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
from tests.app.watch_stories import GOOD, WATCH_STORIES
from tests.fakes import Faults, raising, run

pytestmark = pytest.mark.usefixtures("quiet", "judged")

FULL = sqlite3.OperationalError("database or disk is full")
FAULTS = {"named": KeeperGone("it is gone"), "unforeseen": ValueError("embedded null byte")}
EACH_STORY = pytest.mark.parametrize("story", WATCH_STORIES)
EACH_MANNER = pytest.mark.parametrize(
    ("strategy", "action"), [("overlap", "rollback"), ("overlap", "hold"), ("overlap", "warn"), ("replace", "rollback")]
)
WATCHED = WITHOUT_PROBES | {"watch_ms": 4_000}


def config_of(story: str, strategy: str, action: str = "rollback") -> dict[str, object]:
    side_runs = {"processes": SIDE_RUNS} if "side runs" in story else {}
    return WATCHED | {"strategy": strategy, "watch_action": action} | side_runs


def is_told(story: str, strategy: str, action: str) -> bool:
    """Under `replace`, none can be held. The action counts only where the new version is worse."""
    if strategy == "replace":
        return "promot" not in story or story == "promote"
    return action == "rollback" or "worse" in story or "crash" in story


def steps(data: Path, story: str, strategy: str, action: str) -> list[str]:
    before, tell = WATCH_STORIES[story]

    async def names() -> list[str]:
        async with machine(data, config_of(story, strategy, action)) as made:
            await before(made)
            made.faults.names.clear()
            await tell(made)
            names = list(made.faults.names)
            made.evidence.new = GOOD
            await asyncio.sleep(LONG_S)
            check_rest(made, story)
            return names

    return run(names())


@EACH_STORY
@EACH_MANNER
def test_whatever_fails_what_is_live_serves(tmp_path: Path, story: str, strategy: str, action: str) -> None:
    before, tell = WATCH_STORIES[story]
    if not is_told(story, strategy, action):
        return

    async def failed_in(at: int, error: Exception) -> None:
        faults = Faults()
        async with machine(tmp_path, config_of(story, strategy, action), faults) as made:
            await before(made)
            faults.names.clear()
            faults.at, faults.strike = at, raising(error)
            await tell(made)
            faults.at = 0
            made.evidence.new = GOOD
            await asyncio.sleep(LONG_S)
            where = f"failed in step {at}, {faults.names[at - 1]}: {faults.names}"
            check_rest(made, where)
            check_history(made, where)
            assert isinstance(await deploy(made, "d"), Done), where
            await asyncio.sleep(LONG_S)
            check_rest(made, where)
            assert made.deployer.candidates.record is None, where
            assert not {row.result for row in made.store.attempts(100)} & {"running", "held"}, where

    for at, step in enumerate(few(steps(tmp_path, story, strategy, action)), 1):
        for error in FAULTS.values():
            if step:
                run(failed_in(at, FULL if step.startswith(("begin", "save")) else error))


def few(names: list[str]) -> list[str]:
    """Without most of the looks."""
    looks = [at for at, name in enumerate(names) if name == "look"]
    return ["" if at in looks[2:-1] else name for at, name in enumerate(names)]


@EACH_STORY
@EACH_MANNER
def test_whenever_the_daemon_stops_nothing_is_left(tmp_path: Path, story: str, strategy: str, action: str) -> None:
    before, tell = WATCH_STORIES[story]
    if not is_told(story, strategy, action):
        return

    async def stopped_in(at: int) -> None:
        faults = Faults()
        async with machine(tmp_path, config_of(story, strategy, action), faults) as made:
            await before(made)
            await stop_in(at, made, tell)
            where = f"stopped in step {at}, {faults.names[at - 1]}: {faults.names}"
            assert not made.running, where
            check_history(made, where)
            candidate = made.store.candidate()
            assert candidate is None or candidate.state == "failed", where

    for at, step in enumerate(few(steps(tmp_path, story, strategy, action)), 1):
        if step:
            run(stopped_in(at))


@EACH_STORY
@EACH_MANNER
def test_abort_in_every_step(tmp_path: Path, story: str, strategy: str, action: str) -> None:
    """Afterwards nothing is watched. If something was aborted, it is not live."""
    before, tell = WATCH_STORIES[story]
    if not is_told(story, strategy, action):
        return

    async def aborted_in(at: int) -> None:
        faults = Faults()
        async with machine(tmp_path, config_of(story, strategy, action), faults) as made:
            await before(made)
            telling = await come_to(at, made, tell)
            answer = await abort(made)
            where = f"aborted in step {at}, {faults.names[at - 1]}: {answer}: {faults.names}"
            if isinstance(answer, Aborted):
                live = made.store.state().live
                assert live is None or live.commit != answer.commit, where
            await telling
            made.evidence.new = GOOD
            await asyncio.sleep(LONG_S)
            check_rest(made, where)
            check_history(made, where)

    for at, step in enumerate(few(steps(tmp_path, story, strategy, action)), 1):
        if step:
            run(aborted_in(at))
