"""Crashes in the history, the counters of restarts, and how a process last ended, on the machine in memory."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from slot_machine.app import outages
from slot_machine.app.outages import LOOPS_AFTER, STEADY_AFTER_S
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Attempt
from slot_machine.host.network.probe import Answer
from slot_machine.state.history import KEPT_CRASHES
from tests.app.stories import LONG_S, WITH_PROBES, deploy, ignored, machine
from tests.fakes import Machine, processes_of, raising, run, until


def crashes(made: Machine) -> list[Attempt]:
    """The first one first."""
    return [attempt for attempt in reversed(made.store.attempts(99)) if attempt.kind == "crash"]


def counted(made: Machine) -> dict[tuple[str, str], int]:
    return {(count.process, count.cause): count.number for count in made.store.restart_counts()}


def standing(made: Machine) -> str:
    supervisor = made.supervisor
    assert supervisor.release
    return supervisor.outages.standing("web", supervisor.release.version, running=supervisor.running)


async def crashed(made: Machine, steady_s: float = 0.0) -> None:
    """Waits until it runs again, and for `steady_s`."""
    made.crash()
    await until(lambda: not made.supervisor.running)
    await until(lambda: made.supervisor.running)
    await asyncio.sleep(steady_s)


def test_crash_is_an_entry_with_the_time_of_the_503(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            await crashed(made)
            (crash,) = crashes(made)
            assert (crash.result, crash.cause, crash.trigger) == ("succeeded", "crash", "supervisor")
            assert (crash.error, crash.subject, crash.slot) == ("exit code 7", "Subject of a", "a")
            assert crash.away_s == pytest.approx(1, abs=0.2), "the delay before the first restart"
            last = made.deployer.attempts.last
            assert last
            assert last.kind == "deploy"
            (end,) = made.store.exits()
            assert (end.process, end.how, end.commit[:1], end.slot) == ("web", "exit code 7", "a", "a")
            assert counted(made) == {("web", "crash"): 1}

    run(story())


def test_start_that_fails_is_told_in_the_entry(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            made.launcher.failures += [StageFailed("start", "no port")] * 2
            made.crash()
            await until(lambda: not made.launcher.failures)
            (crash,) = crashes(made)
            assert (crash.result, crash.error) == ("running", "exit code 7")
            assert standing(made) == "backing off"
            await until(lambda: made.supervisor.running)
            (crash,) = crashes(made)
            assert crash.result == "succeeded"
            assert crash.away_s == pytest.approx(1 + 2 + 4, abs=0.5)
            assert [warning.endswith("failed: no port") for warning in crash.warnings] == [True, True]
            assert counted(made) == {("web", "crash"): 1}, "it ended once"

    run(story())


def test_crash_loop_is_one_entry_until_it_is_steady(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            assert standing(made) == "running"
            for number in range(1, LOOPS_AFTER + 1):
                await crashed(made)
                assert standing(made) == ("crash loop" if number == LOOPS_AFTER else "unsteady")
            (loop,) = crashes(made)
            assert loop.error == "exit code 7; 3 ends in all, the last one: exit code 7"
            assert loop.away_s == pytest.approx(1 + 2 + 4, abs=0.5)
            await asyncio.sleep(STEADY_AFTER_S)
            assert standing(made) == "running"
            await crashed(made)
            assert len(crashes(made)) == 2
            assert counted(made) == {("web", "crash"): LOOPS_AFTER + 1}
            assert standing(made) == "unsteady"

    run(story())


def test_cause_is_told_for_what_was_ended_because_it_was_unhealthy(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITH_PROBES) as made:
            await deploy(made, "a")
            made.launcher.answers += [Answer(503, "503")] * 3
            await until(lambda: crashes(made) and crashes(made)[0].result == "succeeded")
            (sick,) = crashes(made)
            assert sick.cause == "unhealthy"
            assert "/healthz answered 503" in sick.error
            assert counted(made) == {("web", "unhealthy"): 1}

    run(story())


def test_switch_ends_the_time_without_an_answer_and_keeps_the_counts(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            made.launcher.failures.append(StageFailed("start", "no port"))
            made.crash()
            await until(lambda: not made.launcher.failures)
            await deploy(made, "b")
            (crash,) = crashes(made)
            assert crash.result == "succeeded"
            assert 1 < crash.away_s < 3
            assert made.supervisor.web.restarts == 0
            assert counted(made) == {("web", "crash"): 1}
            assert [end.commit[:1] for end in made.store.exits()] == ["a"]

    run(story())


def test_side_run_that_crashes_costs_no_visitor_anything(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, {"processes": {"worker": "work"}, "health_interval_ms": 0}) as made:
            await deploy(made, "a")
            release = made.supervisor.release
            assert release
            await until(lambda: "worker" in release.runs)
            processes_of(release.runs["worker"]).end(3)
            await asyncio.sleep(LONG_S)
            (crash,) = crashes(made)
            assert (crash.error, crash.away_s, crash.result) == ("worker: exit code 3", 0, "succeeded")
            assert counted(made) == {("worker", "crash"): 1}

    run(story())


def test_daemon_that_ends_meanwhile_is_told(tmp_path: Path) -> None:
    async def story() -> Machine:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            made.launcher.failures += [StageFailed("start", "no port")] * 9
            made.crash()
            await until(lambda: len(made.launcher.failures) < 8)
            await made.supervisor.let_go()
            (crash,) = crashes(made)
            assert (crash.result, crash.error) == (
                "interrupted",
                "exit code 7; the daemon ended before it ran again",
            )
            assert crash.away_s > 1
            return made

    run(story())


@pytest.mark.parametrize(("trigger", "cause"), [("cli", "restart"), ("schedule", "cron")])
def test_restarts_that_somebody_asked_for_are_counted_by_who_asked(tmp_path: Path, trigger: str, cause: str) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            await made.deployer.restart(trigger, ignored)
            assert counted(made) == {("web", cause): 1}
            assert crashes(made) == []

    run(story())


def test_app_is_started_again_though_nothing_can_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            for name in ("count_restart", "save_exit", "begin"):
                monkeypatch.setattr(made.store, name, lambda *_: raising(sqlite3.OperationalError("disk full"))())
            await crashed(made)
            assert crashes(made) == []

    run(story())


def test_crashes_push_no_deploy_out(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            record = Attempt(id=0, kind="crash", trigger="supervisor", started_at="then")
            for _ in range(KEPT_CRASHES + 5):
                made.store.begin(record)
            kept = made.store.attempts(9999)
            assert (len(kept), kept[-1].kind) == (KEPT_CRASHES + 1, "deploy")

    run(story())


def test_entry_that_could_not_be_saved_is_saved_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            made.crash()
            await until(lambda: crashes(made))
            with monkeypatch.context() as full:
                full.setattr(made.store, "save_attempt", lambda _: raising(sqlite3.OperationalError("disk full"))())
                await until(lambda: made.supervisor.running)
            assert crashes(made)[0].result == "running"
            await deploy(made, "b")
            assert crashes(made)[0].result == "succeeded"

    run(story())


def test_app_that_ended_under_an_earlier_daemon_is_not_steady_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            await crashed(made)
            made.supervisor.outages.leave()
            assert standing(made) == "unsteady"
            monkeypatch.setattr(outages, "age_s", lambda _: STEADY_AFTER_S)
            assert standing(made) == "running"
            monkeypatch.undo()
            await deploy(made, "b")
            assert standing(made) == "running", "another version"

    run(story())
