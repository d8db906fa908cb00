"""The daemon is killed while a version is watched: the next one goes on with that."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from slot_machine.core.model import Attempt
from slot_machine.core.verdict import Side
from tests.app.stories import (
    SIDE_RUNS,
    WITHOUT_PROBES,
    a_is_live,
    check_history,
    check_rest,
    machine,
    side_runs_are_live,
)
from tests.app.watch_stories import BAD, GOOD, begun, deploy_b, killed
from tests.fakes import Loop, Machine, Mode, processes_of, run

pytestmark = pytest.mark.usefixtures("quiet", "judged")

WATCHED = WITHOUT_PROBES | {"watch_ms": 20_000}


class End(NamedTuple):
    """What is live in the end, the deploy's entry, the web runs that the next daemon started, and how long it took."""

    live: str
    entry: Attempt
    started: list[str]
    events: list[str]
    took_s: float


async def told(
    data: Path,
    between: Callable[[Machine], None] = lambda _: None,
    new: Side = GOOD,
    before: Callable[[Machine], Awaitable[None]] = a_is_live,
    **config: object,
) -> End:
    """5 s after the switch the daemon is killed, and the next one begins after what happens `between`."""
    wanted = WATCHED | config
    async with machine(data, wanted) as made:
        await before(made)
        deploying = await begun(made, deploy_b)
        await asyncio.sleep(5)
        async with killed(made, data, wanted) as after:
            between(made)
            after.evidence.new = new
            runs = len(after.launcher.started)
            began_s = asyncio.get_running_loop().time()
            await after.deployer.recover()
            await after.deployer.operations.idle()
            took_s = asyncio.get_running_loop().time() - began_s
            await asyncio.sleep(60)
            check_rest(after, "")
            check_history(after, "")
            entry, live = after.store.attempt(2), after.store.state().live
            assert entry
            assert live
            started = [each.version.commit[0] for each in after.launcher.started[runs:] if each.name == "web"]
            end = End(live.commit[0], entry, started, [notice.event for notice in after.told], took_s)
        await asyncio.wait([deploying])
        return end


def all_end(made: Machine) -> None:
    """The machine was switched off."""
    for each in made.running:
        processes_of(each).end(9)


def old_one_ends(made: Machine) -> None:
    processes_of(made.launcher.started[0]).end(9)


def test_it_goes_on_and_ends_in_its_time(tmp_path: Path) -> None:
    end = run(told(tmp_path))

    assert (end.live, end.entry.result, end.entry.verdict) == ("b", "succeeded", "better")
    assert end.entry.stage_seconds.keys() >= {"start", "health", "switch", "watch", "drain"}
    assert 14 < end.took_s < 16
    assert end.started == []
    assert end.events == ["deploy_succeeded"]


def test_a_worse_one_is_taken_back(tmp_path: Path) -> None:
    end = run(told(tmp_path, new=BAD))

    assert (end.live, end.entry.result, end.entry.stage) == ("a", "failed", "watch")
    assert end.started == []
    assert end.took_s < 1


def test_a_worse_one_is_taken_back_with_its_side_runs(tmp_path: Path) -> None:
    end = run(told(tmp_path, new=BAD, before=side_runs_are_live, processes=SIDE_RUNS))

    assert (end.live, end.entry.result) == ("a", "failed")


def test_one_that_has_ended_meanwhile_is_taken_back_at_once(tmp_path: Path) -> None:
    end = run(told(tmp_path, Machine.crash))

    assert (end.live, end.entry.result, end.entry.stage) == ("a", "failed", "watch")
    assert "did not run any more" in end.entry.error
    assert end.started == []
    assert end.took_s < 1


def test_one_that_has_ended_is_started_again_if_only_a_warning_is_wanted(tmp_path: Path) -> None:
    end = run(told(tmp_path, Machine.crash, watch_action="warn"))

    assert (end.live, end.entry.result, end.started) == ("b", "succeeded", ["b"])


@pytest.mark.parametrize("ends", [old_one_ends, all_end])
def test_the_new_one_stays_if_there_is_nothing_to_go_back_to(tmp_path: Path, ends: Callable[[Machine], None]) -> None:
    end = run(told(tmp_path, ends))

    assert (end.live, end.entry.result) == ("b", "succeeded")
    assert "the daemon was killed" in end.entry.verdict
    assert "does not run any more since the daemon was killed" in end.entry.warnings[0]
    assert end.started == (["b"] if ends is all_end else [])


@pytest.mark.parametrize("strategy", ["replace", "overlap"])
def test_where_the_old_one_was_stopped_first_the_watch_goes_on_without_it(
    tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if strategy == "overlap":
        monkeypatch.setattr(Mode, "stops_first", "pidfd_getfd: Operation not permitted")
    end = run(told(tmp_path, new=BAD, strategy=strategy))

    assert (end.live, end.entry.result, end.started) == ("a", "failed", ["a"])


def test_it_takes_no_longer_after_a_boot_of_the_machine(tmp_path: Path) -> None:
    async def long_up(made: Machine) -> None:
        await a_is_live(made)
        await asyncio.sleep(1000)

    def boots(made: Machine) -> None:
        all_end(made)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        loop.begin_anew()

    end = run(told(tmp_path, boots, before=long_up, strategy="replace"))

    assert (end.live, end.entry.result, end.started) == ("b", "succeeded", ["b"])
    assert end.took_s < 25
