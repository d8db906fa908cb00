"""The watch of a candidate that some of the visitors get, on a machine in memory."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done
from slot_machine.core.verdict import Verdict
from slot_machine.daemon.candidates import status
from tests.app.hold_stories import abort, b_is_held
from tests.app.stories import WITHOUT_PROBES, check_rest, ignored, machine
from tests.app.watch_stories import BAD, GOOD
from tests.fakes import COMMITS, Machine, processes_of, run

pytestmark = pytest.mark.usefixtures("quiet", "judged")

WATCHED = WITHOUT_PROBES | {"watch_ms": 4_000}


async def b_has_a_share(made: Machine) -> None:
    await b_is_held(made)
    assert isinstance(await made.deployer.share(1000, "cli", ignored), Done)


@pytest.mark.parametrize("action", ["rollback", "hold", "warn"])
def test_a_worse_one_loses_its_share(tmp_path: Path, action: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_action": action}) as made:
            await b_has_a_share(made)
            assert made.evidence.of[-1][2], "both serve in the same minutes"
            made.evidence.new = GOOD
            await asyncio.sleep(1000)
            assert made.traffic.beside
            assert made.traffic.beside.share == 1000
            shared = made.deployer.candidates.record
            made.evidence.new = BAD
            await asyncio.sleep(10)
            candidate, entry = made.deployer.candidates.record, made.store.attempt(2)
            assert shared
            assert candidate
            assert entry
            if action == "warn":
                assert (candidate.state, made.traffic.beside.share) == ("sharing", 1000)
                assert len([words for words in entry.warnings if "is worse" in words]) == 1
            else:
                assert (candidate.state, candidate.runs_on, candidate.share) == ("failed", action == "hold", 0)
                assert (entry.result, entry.stage) == ("failed", "watch")
                assert entry.verdict.startswith("worse: 90 of 300")
                assert f"`slot-machine logs --slot b --since {shared.since}`" in entry.error
                assert "deploy_failed" in [notice.event for notice in made.told]
            if action == "rollback":
                assert made.traffic.beside is None
            if action == "hold":
                assert made.traffic.beside
                assert (made.traffic.beside.share, made.traffic.beside.token) == (0, candidate.token)
            check_rest(made, "")
            await abort(made)
            assert made.deployer.candidates.record is None
            live = made.store.state().live
            assert live
            assert live.commit == COMMITS["a"]
            check_rest(made, "")

    run(story())


def test_latency_in_a_share_is_a_warning_that_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = iter([Verdict("better")] * 3 + [Verdict("better", warnings=(f"{at} % are slow",)) for at in range(99)])
    monkeypatch.setattr("slot_machine.core.verdict.judge", lambda *_, **__: next(verdicts))

    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await b_has_a_share(made)
            await asyncio.sleep(20)
            candidate, entry = made.deployer.candidates.record, made.store.attempt(2)
            assert candidate
            assert entry
            assert candidate.state == "sharing"
            assert [words for words in entry.warnings if "are slow" in words] == ["0 % are slow"]
            shown = status(made.deployer.candidates, made.deployer.watching)
            assert (shown.verdict, len(shown.warnings)) == ("better", 1)

    run(story())


def test_a_crash_in_a_share_fails_in_the_watch(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await b_has_a_share(made)
            release = made.deployer.candidates.release
            assert release
            processes_of(release.web).end(7)
            await asyncio.sleep(1)
            entry = made.store.attempt(2)
            assert entry
            assert (entry.result, entry.stage) == ("failed", "watch")
            check_rest(made, "")

    run(story())


def test_nothing_is_watched_without_a_share(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await b_is_held(made)
            assert made.deployer.candidates.share_watch.judging is None

    run(story())
