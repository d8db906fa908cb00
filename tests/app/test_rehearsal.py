"""The stage in which a candidate is asked for pages, on a machine in memory."""

import sqlite3
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done
from slot_machine.app.rehearsal import ANSWER_S, AT_ONCE, NOTHING_RECENT, TOTAL_S
from slot_machine.core.errors import Cancelled, StageFailed, Stopping
from slot_machine.core.model import Progress
from slot_machine.core.phases import Phase
from slot_machine.host.network.probe import Answer
from tests.app.stories import (
    STRATEGIES,
    WITHOUT_PROBES,
    a_is_live,
    b_is_live,
    check_history,
    check_rest,
    crash_and_restart,
    deploy,
    ignored,
    machine,
    restart,
    rollback,
)
from tests.fakes import Machine, processes_of, run, until

BROKEN = Answer(500, "500")
SILENT = Answer(0, "nothing within 10 s")
MISSING = Answer(404, "404")
MOVED = Answer(302, "302 (to /login)")
ELSEWHERE = Answer(301, "301 (to https://shop.example/)", elsewhere="https")

PATHS: dict[str, object] = {"rehearse": ["/", "/pricing"]}
CONFIG = WITHOUT_PROBES | PATHS


async def page_is_asked_for(machine: Machine) -> None:
    await until(lambda: machine.deployer.operations.running and machine.launcher.asked)


def slow(machine: Machine) -> None:
    machine.launcher.asked.clear()
    machine.launcher.page_s = 5.0


@pytest.mark.parametrize(
    ("candidate", "live", "fails"),
    [
        (BROKEN, Answer(200, "200"), True),
        (BROKEN, MOVED, True),
        (SILENT, Answer(200, "200"), True),
        (BROKEN, BROKEN, False),
        (BROKEN, MISSING, False),
        (BROKEN, SILENT, False),
        (MISSING, Answer(200, "200"), False),
        (MISSING, MISSING, False),
        (MOVED, Answer(200, "200"), False),
        (Answer(204, "204"), Answer(200, "200"), False),
    ],
)
def test_path_that_was_served_and_is_broken_now_fails_the_deploy(
    tmp_path: Path, candidate: Answer, live: Answer, *, fails: bool
) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            release = made.supervisor.release
            made.launcher.pages = {("b", "/pricing"): candidate, ("a", "/pricing"): live}
            outcome = await deploy(made, "b")

            check_rest(made, "")
            check_history(made, "")
            if not fails:
                assert isinstance(outcome, Done)
                return
            assert isinstance(outcome, StageFailed)
            assert outcome.stage == "rehearse"
            assert str(outcome) == f"/pricing was answered {candidate.words}, and {live.words} by the live version"
            assert "Slot-Machine-Rehearsal: 1" in outcome.hint
            assert made.supervisor.release is release, "it serves on"
            assert made.store.attempts(1)[0].stage == "rehearse"

    run(story())


def test_live_version_is_asked_only_for_what_the_candidate_does_not_serve(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            made.launcher.asked.clear()
            made.launcher.pages[("b", "/pricing")] = MISSING
            outcome = await deploy(made, "b")

            assert sorted(made.launcher.asked) == [("a", "/pricing", False), ("b", "/", True), ("b", "/pricing", True)]
            assert isinstance(outcome, Done)
            assert outcome.warnings == ("/pricing was answered 404, and 200 by the live version",)

    run(story())


def test_paths_are_told_before_they_are_asked_for(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            made.launcher.asked.clear()
            told: list[tuple[Progress, int]] = []

            def report(progress: object) -> None:
                if isinstance(progress, Progress) and progress.stage == "rehearse":
                    told.append((progress, len(made.launcher.asked)))

            await made.deployer.deploy("b", "cli", report)

            (first, asked), (listed, asked_then), *_, (last, _) = told
            assert (first.event, first.message, asked) == ("started", "2 paths", 0)
            assert (listed.event, listed.message, asked_then) == ("output", "asks for /, /pricing", 0)
            assert (last.event, last.message) == ("finished", "2 paths, none is worse than before")

    run(story())


def test_one_path_is_one_path(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"rehearse": ["/"]}) as made:
            await a_is_live(made)
            told: list[str] = []

            def report(progress: object) -> None:
                if isinstance(progress, Progress) and progress.stage == "rehearse":
                    told.append(progress.message)

            await made.deployer.deploy("b", "cli", report)

            assert (told[0], told[-1]) == ("1 path", "1 path, none is worse than before")

    run(story())


def test_redirects_to_another_host_are_told(tmp_path: Path) -> None:
    """An app behind a proxy may answer all that is not asked by its own name so."""

    async def story(moved: int) -> None:
        async with machine(tmp_path / str(moved), CONFIG) as made:
            await a_is_live(made)
            made.launcher.pages = {("b", path): ELSEWHERE for path in ("/pricing", "/")[:moved]}
            outcome = await deploy(made, "b")

            assert isinstance(outcome, Done)
            assert ["no page was rehearsed" in warning for warning in outcome.warnings] == [True] * (moved == 2)

    for moved in (1, 2):
        (tmp_path / str(moved)).mkdir()
        run(story(moved))


def test_summary_says_that_there_are_warnings(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            made.launcher.pages = {("b", "/pricing"): BROKEN, ("a", "/pricing"): MISSING}
            told: list[object] = []

            await made.deployer.deploy("b", "cli", told.append)

            progress = [step for step in told if isinstance(step, Progress)]
            finished = [step.message for step in progress if (step.stage, step.event) == ("rehearse", "finished")]
            assert finished == ["2 paths, 1 with a warning"]

    run(story())


def test_no_stage_without_paths(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            assert made.launcher.asked == []
            assert "rehearse" not in made.store.attempts(1)[0].stage_seconds

    run(story())


@pytest.mark.parametrize("answer", [BROKEN, SILENT])
def test_first_deploy_fails_by_a_broken_path(tmp_path: Path, answer: Answer) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            made.launcher.pages[("a", "/")] = answer
            outcome = await deploy(made, "a")

            assert isinstance(outcome, StageFailed)
            assert (outcome.stage, str(outcome)) == ("rehearse", f"/ was answered {answer.words}")
            check_rest(made, "")

    run(story())


def test_first_deploy_warns_of_a_missing_path(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            made.launcher.pages[("a", "/")] = MISSING
            outcome = await deploy(made, "a")

            assert isinstance(outcome, Done)
            assert outcome.warnings == ("/ was answered 404",)

    run(story())


def test_under_replace_only_the_candidate_is_asked_and_requests_are_held_for_longer(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG | {"strategy": "replace"}) as made:
            await a_is_live(made)
            made.launcher.asked.clear()
            made.launcher.pages = {("b", "/"): BROKEN, ("a", "/"): BROKEN}
            outcome = await deploy(made, "b")

            assert isinstance(outcome, StageFailed)
            assert str(outcome) == "/ was answered 500"
            assert {commit for commit, _, _ in made.launcher.asked} == {"b"}
            assert made.traffic.hold_s == 50 + TOTAL_S + ANSWER_S
            check_rest(made, "")

    run(story())


def test_rollbacks_restarts_crashes_and_recoveries_are_not_rehearsed(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await b_is_live(made)
            made.launcher.asked.clear()
            made.launcher.pages = {(commit, "/"): BROKEN for commit in "ab"}
            assert isinstance(await rollback(made), Done)
            assert isinstance(await restart(made), Done)
            await crash_and_restart(made)
            assert made.launcher.asked == []

    run(story())


def test_few_are_asked_for_at_once_and_not_for_ever(tmp_path: Path) -> None:
    paths = [f"/{number}" for number in range(40)]

    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"rehearse": paths}) as made:
            made.launcher.page_s = 9.0
            outcome = await deploy(made, "a")

            assert isinstance(outcome, Done)
            assert len(made.launcher.asked) == 4 * AT_ONCE
            assert outcome.warnings == ("24 of 40 paths were not asked for, as 30 s were over",)

    run(story())


def test_many_broken_paths_are_counted(tmp_path: Path) -> None:
    paths = [f"/{number}" for number in range(9)]

    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"rehearse": paths}) as made:
            made.launcher.pages = {("a", path): BROKEN for path in paths}
            outcome = await deploy(made, "a")
            assert str(outcome) == "; ".join(f"/{n} was answered 500" for n in range(5)) + "; and 4 more"

    run(story())


def test_app_that_ends_meanwhile_fails_the_deploy(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            slow(made)
            deploying = made.deployer.deploy("b", "cli", ignored)
            await page_is_asked_for(made)
            processes_of(made.launcher.started[-1]).end(3)
            outcome = await deploying

            assert isinstance(outcome, StageFailed)
            assert (outcome.stage, str(outcome)) == ("rehearse", "the app ended while it was asked for its pages")
            check_rest(made, "")

    run(story())


def test_path_at_which_the_app_ends_is_named(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            slow(made)
            made.launcher.pages = {("b", "/pricing"): SILENT}
            deploying = made.deployer.deploy("b", "cli", ignored)
            await page_is_asked_for(made)
            processes_of(made.launcher.started[-1]).end(3)

            found = "/pricing was answered nothing within 10 s, and 200 by the live version"
            assert str(await deploying) == f"the app ended while it was asked for its pages: {found}"

    run(story())


def test_daemon_that_cannot_ask_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            made.launcher.pages[("b", "/")] = OSError(24, "Too many open files")
            outcome = await deploy(made, "b")

            assert isinstance(outcome, StageFailed)
            assert "cannot ask for /: " in str(outcome)
            check_rest(made, "")

    run(story())


@STRATEGIES
def test_cancel(tmp_path: Path, strategy: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG | {"strategy": strategy}) as made:
            await a_is_live(made)
            slow(made)
            deploying = made.deployer.deploy("b", "cli", ignored)
            await page_is_asked_for(made)
            cancelled = await made.deployer.operations.cancel()

            assert (cancelled.result, cancelled.stage) == ("cancelled", Phase.REHEARSE)
            assert isinstance(await deploying, Cancelled)
            check_rest(made, "")

    run(story())


@STRATEGIES
def test_daemon_that_stops(tmp_path: Path, strategy: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG | {"strategy": strategy}) as made:
            await a_is_live(made)
            slow(made)
            deploying = made.deployer.deploy("b", "cli", ignored)
            await page_is_asked_for(made)
            await made.deployer.stop()

            assert isinstance(await deploying, Stopping)
            assert made.store.attempts(1)[0].result == "interrupted"

    run(story())


RECENT: dict[str, object] = WITHOUT_PROBES | {"rehearse": "recent"}


def visited(made: Machine, monkeypatch: pytest.MonkeyPatch, visits: dict[str, int] | Exception) -> None:
    async def recent() -> dict[str, int]:
        if isinstance(visits, Exception):
            raise visits
        return visits

    monkeypatch.setattr(made.app.recorder, "recent", recent)


def test_recent_paths_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with machine(tmp_path, RECENT) as made:
            visited(made, monkeypatch, {"/": 9, "/logout": 100, "/pricing": 50})
            made.launcher.pages[("a", "/pricing")] = BROKEN
            outcome = await deploy(made, "a")

            assert made.launcher.asked == [("a", "/pricing", True), ("a", "/", True)]
            assert (getattr(outcome, "stage", ""), str(outcome)) == ("rehearse", "/pricing was answered 500")

    run(story())


def test_without_recent_paths_the_deploy_goes_on_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with machine(tmp_path, RECENT) as made:
            visited(made, monkeypatch, {"/": 1})
            told: list[object] = []
            outcome = await made.deployer.deploy("a", "cli", told.append)

            assert isinstance(outcome, Done)
            assert (outcome.warnings, made.launcher.asked) == ((), [])
            assert any(isinstance(line, Progress) and line.message == NOTHING_RECENT for line in told)

    run(story())


@pytest.mark.parametrize("error", [sqlite3.DatabaseError("malformed"), TimeoutError()])
def test_no_deploy_fails_because_of_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def story() -> None:
        async with machine(tmp_path, RECENT) as made:
            visited(made, monkeypatch, error)
            outcome = await deploy(made, "a")

            assert isinstance(outcome, Done)
            assert outcome.warnings[0].startswith("nothing was rehearsed: cannot read the records of requests: ")

    run(story())
