"""What a watch does: it keeps the new version, or takes it back, and says so."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done, Wishes
from slot_machine.core.candidate import Candidate
from slot_machine.core.errors import Busy, Cancelled, StageFailed
from slot_machine.core.upstream import Counts, Upstream
from slot_machine.core.verdict import Side
from slot_machine.host.network.probe import Answer
from tests.app.hold_stories import abort, b_is_held, promote
from tests.app.stories import (
    LONG_S,
    SIDE_RUNS,
    WITHOUT_PROBES,
    Story,
    a_is_live,
    b_is_live,
    check_rest,
    deploy,
    ignored,
    machine,
    restart,
    rollback,
    side_runs_are_live,
)
from tests.app.watch_stories import (
    BAD,
    GOOD,
    begun,
    crash_in_the_watch,
    crash_of_a_worker_in_the_watch,
    crash_of_the_old_one_and_a_worse_one,
    deploy_b,
    deploy_of_a_worse_one,
    promote_of_a_worse_one,
    worse,
)
from tests.fakes import COMMITS, Machine, processes_of, run

pytestmark = pytest.mark.usefixtures("quiet", "judged")

WATCHED = WITHOUT_PROBES | {"watch_ms": 4_000}


def test_a_version_that_nobody_asked_for_anything_stays_and_did_not_pass(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await a_is_live(made)
            told: list[object] = []
            done = await made.deployer.deploy("b", "cli", told.append)
            assert isinstance(done, Done)
            assert "both versions run in the watch" in str(told)
            last = made.deployer.attempts.last
            assert last
            assert (last.result, last.verdict) == ("succeeded", "not enough requests (0 of 50)")
            assert last.stage_seconds.keys() >= {"switch", "watch", "drain"}
            check_rest(made, "")

    run(story())


def test_the_old_version_is_ready_in_the_step_of_the_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await a_is_live(made)
            old, route, ready = made.supervisor.release, made.traffic.route, list[Upstream | None]()

            async def seen(upstream: Upstream | None, stays: Upstream | None = None) -> Counts:
                counts = await route(upstream, stays)
                ready.append(made.traffic.beside.upstream if made.traffic.beside else None)
                return counts

            monkeypatch.setattr(made.traffic, "route", seen)
            await made.deployer.deploy("b", "cli", ignored)
            assert old
            assert ready == [old.upstream]

    run(story())


def test_during_the_watch_the_old_version_stays_ready(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await a_is_live(made)
            old = made.supervisor.release
            deploying = await begun(made, deploy_b)
            beside, release = made.traffic.beside, made.supervisor.release
            assert old
            assert old.running
            assert beside
            assert (beside.upstream, beside.stands_in) == (old.upstream, True)
            assert release
            assert made.traffic.routed == release.upstream != old.upstream
            row = made.store.candidate()
            assert row
            assert (row.state, row.version.commit, row.attempt) == ("watched", COMMITS["b"], 2)
            made.evidence.new = GOOD
            await deploying
            assert made.deployer.attempts.last
            assert made.deployer.attempts.last.verdict == "better"
            assert made.traffic.beside is None
            assert not old.running

    run(story())


def test_a_worse_one_is_taken_back_as_if_it_had_never_been_live(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await b_is_live(made)
            before, release, started = made.store.state(), made.supervisor.release, len(made.launcher.started)
            failed = await worse(made, lambda _: deploy(made, "c"))
            assert isinstance(failed, StageFailed)
            assert failed.stage == "watch"
            assert "90 of 300 requests for /checkout failed" in str(failed)
            assert "slot-machine logs --slot a" in failed.hint
            assert made.store.state() == before
            assert made.supervisor.release is release
            assert len(made.launcher.started) == started + 1, "the old one was not started"
            last = made.deployer.attempts.last
            assert last
            assert (last.stage, last.result) == ("watch", "failed")
            assert last.verdict == "worse: 90 of 300 requests for /checkout failed"
            assert "/checkout" in made.deployer.attempts.output(last.id)["watch"]
            assert "deploy_failed" in [notice.event for notice in made.told]
            check_rest(made, "")
            made.evidence.new = GOOD
            assert isinstance(await rollback(made), Done), "the version before is still there"
            assert made.store.state().live == before.previous

    run(story())


@pytest.mark.parametrize("crash", [crash_in_the_watch, crash_of_a_worker_in_the_watch])
def test_a_crash_decides_at_once(tmp_path: Path, crash: Story) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_ms": 600_000, "processes": SIDE_RUNS}) as made:
            await side_runs_are_live(made)
            now = asyncio.get_running_loop().time
            began_s = now()
            failed = await crash(made)
            assert isinstance(failed, StageFailed)
            assert "ended: exit" in str(failed)
            assert now() - began_s < 10
            await asyncio.sleep(LONG_S)
            check_rest(made, "")

    run(story())


def test_the_error_has_the_last_lines_of_the_worker_that_crashed(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_ms": 600_000, "processes": SIDE_RUNS}) as made:
            await side_runs_are_live(made)
            deploying = await begun(made, deploy_b)
            await asyncio.sleep(1)
            assert made.supervisor.release
            worker = made.supervisor.release.runs["worker"]
            worker.last_lines = lambda: ("no such queue",)
            processes_of(worker).end(1)
            failed = await deploying
            assert isinstance(failed, StageFailed)
            assert failed.output == ("no such queue",)

    run(story())


@pytest.mark.parametrize("story_of", [deploy_of_a_worse_one, promote_of_a_worse_one])
def test_a_return_warns_that_the_release_command_is_not_undone(tmp_path: Path, story_of: Story) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"release_command": "migrate"}) as made:
            await a_is_live(made)
            if story_of is promote_of_a_worse_one:
                await made.deployer.deploy("b", "cli", ignored, Wishes(hold=True, hold_after_release=True))
            failed = await story_of(made)
            assert isinstance(failed, StageFailed)
            assert failed.warnings == ("the release command ran, and going back does not undo it: `migrate`",)

    run(story())


def test_a_crash_that_the_old_version_had_decides_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await a_is_live(made)
            made.crash()
            await asyncio.sleep(10)
            assert isinstance(await crash_in_the_watch(made), Done)

    run(story())


@pytest.mark.parametrize("no_hold", ["", "with --no-proxy the app itself answers on its port"])
def test_one_that_crashes_and_stays_gets_the_port_that_both_have(tmp_path: Path, no_hold: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_ms": 600_000, "watch_action": "warn"}) as made:
            made.mode.no_hold = no_hold
            await a_is_live(made)
            old = made.supervisor.release
            deploying = await begun(made, deploy_b)
            made.crash()
            await asyncio.sleep(60)
            assert old
            assert old.running == (not no_hold)
            assert made.supervisor.running
            made.crash()
            await asyncio.sleep(60)
            assert isinstance(await deploying, Done)
            check_rest(made, "")

    run(story())


def test_the_old_version_is_not_called_unhealthy_because_the_new_one_crashed(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"strategy": "replace"}) as made:
            await a_is_live(made)
            assert isinstance(await crash_in_the_watch(made), StageFailed)
            assert (made.supervisor.healthy, made.supervisor.unhealthy_reason) == (True, "")

    run(story())


def test_no_numbers_are_told_where_nobody_counts_requests(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_ms": 30_000}) as made:
            made.mode.no_hold = "with --no-proxy the app itself answers on its port"
            await a_is_live(made)
            assert isinstance(await deploy(made, "b"), Done)
            last = made.deployer.attempts.last
            assert last
            assert last.verdict == "not enough requests (with --no-proxy nobody counts them)"
            assert "watch" not in made.deployer.attempts.output(last.id)

    run(story())


def test_an_unhealthy_one_is_taken_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, {"watch_ms": 600_000, "health_interval_ms": 1_000}) as made:
            await a_is_live(made)
            deploying = await begun(made, deploy_b)
            made.launcher.answers += [Answer(500, "500")] * 3
            failed = await deploying
            assert isinstance(failed, StageFailed)
            assert "answered 500" in str(failed)

    run(story())


def test_a_warning_leaves_it_live_and_is_not_repeated(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_action": "warn"}) as made:
            await a_is_live(made)
            done = await deploy_of_a_worse_one(made)
            assert isinstance(done, Done)
            assert len(done.warnings) == 1
            assert "stays live" in done.warnings[0]
            await asyncio.sleep(1)
            told = made.told[-1]
            assert (told.event, told.verdict) == ("deploy_succeeded", made.store.attempts(1)[0].verdict)
            assert "worse: 90 of 300" in told.text
            live = made.store.state().live
            assert live
            assert live.commit == COMMITS["b"]

    run(story())


def test_a_worse_one_can_be_kept_for_a_look(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_action": "hold"}) as made:
            await a_is_live(made)
            assert isinstance(await deploy_of_a_worse_one(made), StageFailed)
            candidate = kept(made)
            assert candidate.version.commit == COMMITS["b"]
            assert "90 of 300" in candidate.error
            assert made.traffic.beside
            assert made.traffic.beside.token == candidate.token != ""
            check_rest(made, "")
            refused = await promote(made)
            assert "can't be promoted" in str(refused)
            aborted = await abort(made)
            assert getattr(aborted, "state", "") == "failed"
            assert made.deployer.candidates.record is None
            check_rest(made, "")

    run(story())


def test_one_that_is_kept_and_then_crashes_says_why_it_was_taken_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_action": "hold"}) as made:
            await a_is_live(made)
            await deploy_of_a_worse_one(made)
            verdict, told = kept(made).verdict, len(made.told)
            assert made.deployer.candidates.release
            processes_of(made.deployer.candidates.release.web).end(9)
            await asyncio.sleep(1)
            candidate = made.deployer.candidates.record
            assert candidate
            assert not candidate.runs_on
            assert "90 of 300" in candidate.error
            assert candidate.verdict == verdict is not None
            assert made.told[told:] == [], "it was told when it was taken back"
            check_rest(made, "")

    run(story())


def kept(made: Machine) -> Candidate:
    candidate = made.deployer.candidates.record
    assert candidate
    assert (candidate.state, candidate.runs_on) == ("failed", True)
    return candidate


def test_an_old_version_that_has_ended_is_started_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await a_is_live(made)
            assert isinstance(await crash_of_the_old_one_and_a_worse_one(made), StageFailed)
            live = made.store.state().live
            assert live
            assert live.commit == COMMITS["a"]
            check_rest(made, "")

    run(story())


def test_other_commands_are_refused_and_say_what_ends_the_watch(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await b_is_live(made)
            deploying = await begun(made, lambda _: deploy(made, "c"))
            for ask in (deploy_b, rollback, restart):
                with pytest.raises(Busy) as refused:
                    await ask(made)
                assert "promote" in refused.value.hint
                assert "abort" in refused.value.hint
            await deploying

    run(story())


def test_promote_ends_the_watch(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_ms": 600_000}) as made:
            await a_is_live(made)
            deploying = await begun(made, deploy_b)
            made.evidence.new = BAD
            began_s = asyncio.get_running_loop().time()
            kept_one = await promote(made)
            assert isinstance(kept_one, Done)
            assert (kept_one.kind, kept_one.version.commit) == ("promote", COMMITS["b"])
            assert isinstance(await deploying, Done)
            assert asyncio.get_running_loop().time() - began_s < 1
            assert made.deployer.attempts.last
            assert "kept by somebody before the end" in made.deployer.attempts.last.verdict
            check_rest(made, "")

    run(story())


@pytest.mark.parametrize("ends", ["abort", "cancel"])
def test_abort_and_cancel_go_back_at_once(tmp_path: Path, ends: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_ms": 600_000, "watch_action": "hold"}) as made:
            await a_is_live(made)
            deploying = await begun(made, deploy_b)
            if ends == "abort":
                assert getattr(await abort(made), "state", "") == "watched"
            else:
                assert (await made.deployer.operations.cancel()).stage == "watch"
            live = made.store.state().live
            assert live
            assert live.commit == COMMITS["a"]
            cancelled = await deploying
            assert isinstance(cancelled, Cancelled)
            assert cancelled.stage == "watch"
            how = "aborted by ada: it is blue" if ends == "abort" else "cancelled"
            assert str(cancelled).startswith(f"the deploy was {how}; back to "), cancelled
            assert made.deployer.candidates.record is None
            check_rest(made, "")

    run(story())


def test_requests_are_counted_for_another_version_from_a_rollback_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await b_is_live(made)
            lives: list[object] = []

            async def look() -> None:
                lives.append(made.store.state().live)

            monkeypatch.setattr(made.app.recorder, "look", look)
            await rollback(made)
            await asyncio.sleep(0)
            assert lives == [made.store.state().live]

    run(story())


def test_who_detaches_is_answered_at_the_switch(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED | {"watch_ms": 600_000}) as made:
            await a_is_live(made)
            began_s = asyncio.get_running_loop().time()
            done = await made.deployer.deploy("b", "cli", ignored, Wishes(detach=True))
            assert isinstance(done, Done)
            assert (done.watched, done.version.commit, done.previous_commit) == (True, COMMITS["b"], COMMITS["a"])
            assert asyncio.get_running_loop().time() - began_s < 1
            assert made.deployer.operations.watches
            await abort(made)
            made.launcher.failures.append(StageFailed("health", "it answered 500"))
            failed = await made.deployer.deploy("c", "cli", ignored, Wishes(detach=True))
            assert isinstance(failed, StageFailed)

    run(story())


def test_rollbacks_and_restarts_are_not_watched(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await b_is_live(made)
            made.evidence.of.clear()
            assert isinstance(await rollback(made), Done)
            assert isinstance(await restart(made), Done)
            assert not made.evidence.of

    run(story())


def test_a_promoted_one_is_watched_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await b_is_held(made)
            made.evidence.new, made.evidence.old = BAD, GOOD
            failed = await made.deployer.promote("cli", ignored)
            assert isinstance(failed, StageFailed)
            assert failed.stage == "watch"
            live = made.store.state().live
            assert live
            assert live.commit == COMMITS["a"]
            assert made.deployer.candidates.record is None
            check_rest(made, "")

    run(story())


def test_a_watch_that_can_tell_nothing_takes_nothing_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await a_is_live(made)

            async def look() -> tuple[Side, Side]:
                raise OSError("the worker does not answer")

            made.evidence.look = look  # type: ignore[method-assign]
            assert isinstance(await deploy(made, "b"), Done)

    run(story())


def test_the_old_version_ends_with_the_daemon_and_the_new_one_stays_live(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WATCHED) as made:
            await a_is_live(made)
            deploying = await begun(made, deploy_b)
            await made.deployer.stop()
            stopped = await deploying
            assert "the new version stays" in str(stopped)
            live, last = made.store.state().live, made.deployer.attempts.last
            assert live
            assert live.commit == COMMITS["b"]
            assert last
            assert (last.result, last.verdict) == (
                "succeeded",
                "not enough requests (0 of 50); the daemon stopped before the end",
            )
            assert made.store.candidate() is None
            assert not made.running

    run(story())
