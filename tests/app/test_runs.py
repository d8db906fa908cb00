"""Runs beside the web run, on a machine in memory: when they begin, how they are kept running, and how they retire."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done
from slot_machine.app.release import Release, releases_of
from slot_machine.app.run import Run
from slot_machine.app.side_watch import SideWatch
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import WEB, Running, Version
from tests.fakes import COMMITS, Faults, Machine, processes_of, run, until

A = Version("a", COMMITS["a"], 1)
WORKER = "worker"
ONE_WORKER: dict[str, object] = {WORKER: "work"}
LONG_S = 40.0
JOB_S = 10.0
STOP_S = 60.0

Story = Callable[[Machine, Release], Awaitable[None]]


def tell(data: Path, story: Story, processes: Mapping[str, object] = ONE_WORKER, **config: object) -> None:
    """With commit `a` live, and its side runs."""

    async def told() -> None:
        async with asyncio.TaskGroup() as tasks:
            settings = {"health_interval_ms": 0, "processes": processes} | config
            machine = Machine.make(data, tasks, Faults(), settings)
            await deploy(machine, "a")
            await story(machine, live(machine))
            await machine.deployer.stop()
            assert not machine.running
            assert machine.store.processes() == []
        machine.close()

    run(told())


async def deploy(machine: Machine, commit: str) -> Done:
    """Returns when the side runs of the new version have begun, if nothing is in their way."""
    outcome = await machine.deployer.deploy(commit, "cli", lambda _: None)
    assert isinstance(outcome, Done)
    await asyncio.sleep(0.01)
    return outcome


def live(machine: Machine) -> Release:
    assert machine.supervisor.release
    return machine.supervisor.release


def standing(machine: Machine, name: str = WORKER) -> str:
    watch = machine.supervisor.watches[name]
    assert isinstance(watch, SideWatch)
    return watch.standing(live(machine))


def signals(run: Run) -> list[str]:
    return processes_of(run).signals


@contextmanager
def undisturbed(other: Run) -> Iterator[None]:
    yield
    assert other.running


def rows(machine: Machine) -> set[tuple[str, int, int]]:
    return {(row.run, row.release_id, row.running.run_id) for row in machine.store.processes() if row.running}


async def next_daemon(machine: Machine) -> None:
    """Another one finds what this one has left."""
    await machine.supervisor.let_go()
    live(machine).take_side_runs()
    machine.supervisor.watches = {WEB: machine.supervisor.web}
    machine.launcher.left = releases_of(machine.launcher.adopted())
    machine.launcher.left_to_end = machine.launcher.adopted(retiring=True)
    await machine.deployer.recover()
    await asyncio.sleep(0.01)


def test_side_run_begins_after_the_switch_and_is_saved_with_its_release(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        web, worker = release.runs[WEB], release.runs[WORKER]
        assert machine.running == [web, worker]
        assert rows(machine) == {(WEB, web.run_id, web.run_id), (WORKER, web.run_id, worker.run_id)}
        names = machine.faults.names
        assert names.index("save state") < names.index("start side run")
        assert standing(machine) == "running"

    tell(tmp_path, story)


def test_version_that_was_never_healthy_starts_no_side_run(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        worker = release.runs[WORKER]
        machine.launcher.failures.append(StageFailed("health", "it answered 500"))
        with undisturbed(worker):
            assert isinstance(await machine.deployer.deploy("b", "cli", lambda _: None), StageFailed)
            await asyncio.sleep(LONG_S)
        assert [run.name for run in machine.launcher.started].count(WORKER) == 1
        assert signals(worker) == []

    tell(tmp_path, story)


def test_side_run_that_crashes_is_started_again_beside_the_web_run(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        web, worker = release.runs[WEB], release.runs[WORKER]
        with undisturbed(web):
            processes_of(worker).end(3)
            await asyncio.sleep(0.5)
            assert standing(machine) == "backing off"
            await until(lambda: release.runs[WORKER] is not worker)
        assert standing(machine) == "unsteady"
        assert machine.supervisor.watches[WORKER].last_exit == "exit code 3"
        assert machine.supervisor.watches[WORKER].restarts == 1
        assert (machine.supervisor.web.last_exit, machine.supervisor.web.restarts) == ("", 0)
        assert machine.supervisor.healthy
        assert machine.traffic.history == [web.upstream]
        assert rows(machine) == {
            (WEB, web.run_id, web.run_id),
            (WORKER, web.run_id, release.runs[WORKER].run_id),
        }
        await asyncio.sleep(STOP_S)
        assert standing(machine) == "running"
        assert machine.supervisor.watches[WORKER].last_exit == "exit code 3"

    tell(tmp_path, story)


def test_web_run_that_crashes_is_started_again_beside_the_side_run(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        first, worker = release.web, release.runs[WORKER]
        with undisturbed(worker):
            machine.crash()
            await until(lambda: machine.supervisor.running)
        assert release.web is not first
        assert machine.traffic.routed == release.web.upstream
        assert machine.supervisor.web.restarts == 1
        assert machine.supervisor.watches[WORKER].restarts == 0
        assert rows(machine) == {
            (WEB, first.run_id, release.web.run_id),
            (WORKER, first.run_id, worker.run_id),
        }

    tell(tmp_path, story)


def test_crash_loop_is_seen_by_the_number_of_starts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(machine: Machine, release: Release) -> None:
        for _ in range(3):
            await until(lambda: release.runs[WORKER].running)
            processes_of(release.runs[WORKER]).end(3)
        await until(lambda: release.runs[WORKER].running)
        assert standing(machine) == "crash loop"
        assert "crash loop" in caplog.text
        await asyncio.sleep(STOP_S)
        assert standing(machine) == "running"

    tell(tmp_path, story)


def test_side_run_that_ends_at_once_is_in_the_warnings_of_its_deploy(tmp_path: Path) -> None:
    async def story(machine: Machine, _: Release) -> None:
        machine.traffic.busy = True
        deploying = asyncio.ensure_future(deploy(machine, "b"))
        await until(lambda: live(machine).version.commit == COMMITS["b"] and WORKER in live(machine).runs)
        processes_of(live(machine).runs[WORKER]).end(3)
        outcome = await deploying
        machine.traffic.busy = False
        assert any("exit code 3" in warning for warning in outcome.warnings)

    tell(tmp_path, story)


def test_side_run_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    async def story(machine: Machine, _: Release) -> None:
        machine.launcher.side_failures.append(StageFailed("start", "cannot start worker: no such folder"))
        await deploy(machine, "b")
        assert standing(machine) == "backing off"
        assert "no such folder" in machine.supervisor.watches[WORKER].last_exit
        await until(lambda: WORKER in live(machine).runs)

    tell(tmp_path, story)


def test_replaced_side_run_ends_in_its_own_time_beside_the_new_one(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = release.runs[WORKER]
        processes_of(old).works_s = JOB_S
        began_s = asyncio.get_running_loop().time()
        await deploy(machine, "b")
        assert asyncio.get_running_loop().time() - began_s < JOB_S

        assert signals(old) == ["SIGTERM"]
        assert processes_of(old).grace_s == pytest.approx(STOP_S, abs=0.1)
        assert machine.running == [old, *live(machine).runs.values()]
        assert machine.supervisor.retirees.runs == [old]
        await asyncio.sleep(JOB_S)
        assert machine.supervisor.retirees.runs == []
        assert machine.running == list(live(machine).runs.values())

    tell(tmp_path, story)


def test_side_run_that_needs_sigkill_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(machine: Machine, release: Release) -> None:
        processes_of(release.runs[WORKER]).works_s = STOP_S + 1
        await deploy(machine, "b")
        await asyncio.sleep(STOP_S + 1)
        assert WORKER not in release.runs
        assert "its jobs may run again" in caplog.text

    tell(tmp_path, story)


def test_quiet_signal_comes_at_the_switch_and_the_stop_signal_after_the_drain(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = release.runs[WORKER]
        await deploy(machine, "b")
        assert signals(old) == ["SIGTSTP"]
        await asyncio.sleep(6)
        assert signals(old) == ["SIGTSTP", "SIGINT"]

    quiet = {WORKER: {"command": "work", "quiet_signal": "TSTP", "stop_signal": "INT"}}
    tell(tmp_path, story, quiet, drain_timeout_ms=5000)


def test_singleton_begins_when_the_old_one_has_ended_though_it_has_another_name(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = release.runs["clock"]
        processes_of(old).works_s = JOB_S
        await deploy(machine, "b")
        assert standing(machine, "clock") == "waiting"
        assert "clock" not in live(machine).runs
        await asyncio.sleep(JOB_S)
        assert live(machine).runs["clock"].running
        assert not old.running

    tell(tmp_path, story, {"clock": {"command": "tick", "singleton": True}})


def test_each_of_several_has_a_run_of_its_own(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        assert list(release.runs) == [WEB, "worker.1", "worker.2", "worker.3"]
        await deploy(machine, "b")
        assert len(machine.running) == 4

    tell(tmp_path, story, {WORKER: {"command": "work", "count": 3}})


def test_under_replace_side_runs_end_before_the_web_run_is_stopped(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = release.runs[WORKER]
        processes_of(old).works_s = JOB_S
        machine.faults.names.clear()
        await deploy(machine, "b")
        names = machine.faults.names
        assert names.index("end within") < names.index("hold") < names.index("stop")
        assert not old.running
        assert machine.running == list(live(machine).runs.values())

    tell(tmp_path, story, strategy="replace")


def test_side_run_that_is_killed_under_replace_is_in_the_reply(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        processes_of(release.runs[WORKER]).works_s = STOP_S + 1
        outcome = await deploy(machine, "b")
        assert any("its jobs may run again" in warning for warning in outcome.warnings)
        assert outcome.warnings == machine.store.attempts(1)[0].warnings

    tell(tmp_path, story, strategy="replace")


def test_under_replace_side_runs_come_back_if_the_deploy_fails(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = release.runs[WORKER]
        machine.launcher.failures.append(StageFailed("health", "it answered 500"))
        assert isinstance(await machine.deployer.deploy("b", "cli", lambda _: None), StageFailed)
        await asyncio.sleep(0.01)
        assert not old.running
        assert live(machine).version == release.version
        assert live(machine).runs[WORKER].running

    tell(tmp_path, story, strategy="replace")


def test_side_run_that_deploys_stopped_under_replace_is_no_crash_loop(tmp_path: Path) -> None:
    async def story(machine: Machine, _: Release) -> None:
        for _round in range(4):
            machine.launcher.failures.append(StageFailed("health", "it answered 500"))
            await machine.deployer.deploy("b", "cli", lambda _: None)
            await asyncio.sleep(0.01)
            assert standing(machine) == "running"
        processes_of(live(machine).runs[WORKER]).end(3)
        await until(lambda: live(machine).runs[WORKER].running)
        assert standing(machine) == "unsteady"

    tell(tmp_path, story, strategy="replace")


def test_under_replace_side_runs_end_before_the_release_command(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = release.runs[WORKER]
        processes_of(old).works_s = JOB_S
        machine.faults.names.clear()
        await deploy(machine, "b")
        names = machine.faults.names
        assert names.index("end within") < names.index("migrate") < names.index("hold")
        assert not old.running

    tell(tmp_path, story, strategy="replace", release_command="migrate")


def test_side_runs_come_back_if_the_release_command_fails(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        web, old = release.web, release.runs[WORKER]
        machine.shell.fails = "migrate"
        with undisturbed(web):
            assert isinstance(await machine.deployer.deploy("b", "cli", lambda _: None), StageFailed)
        await asyncio.sleep(0.01)
        assert not old.running
        assert machine.running == [web, release.runs[WORKER]]

    tell(tmp_path, story, strategy="replace", release_command="migrate")


def test_side_runs_go_on_during_the_release_command_if_versions_may_overlap(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = release.runs[WORKER]
        machine.faults.names.clear()
        await deploy(machine, "b")
        names = machine.faults.names
        assert names.index("migrate") < names.index("save state") < names.index("ask")
        assert signals(old) == ["SIGTERM"]

    tell(tmp_path, story, release_command="migrate")


def test_deploy_waits_for_what_retires_in_the_tree_that_it_needs(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old, tree = release.runs[WORKER], release.version.tree
        processes_of(old).works_s = JOB_S
        await deploy(machine, "b")
        await deploy(machine, "c")
        assert old.running
        await deploy(machine, "d")
        assert not old.running
        assert processes_of(old).exit_code == -15
        assert live(machine).version.tree == tree

    tell(tmp_path, story)


def test_tree_in_which_a_run_retires_for_long_is_never_overwritten(tmp_path: Path) -> None:
    """Ten minutes, and three deploys more."""

    async def story(machine: Machine, release: Release) -> None:
        old, tree = release.runs[WORKER], release.version.tree
        processes_of(old).works_s = 600
        for commit in "bcde":
            outcome = await deploy(machine, commit)
            assert old.running
            assert machine.trees.heads[tree] == release.version.commit
        assert any("worker of aaaaaaaa in slot a" in warning for warning in outcome.warnings)
        await asyncio.sleep(600)
        assert processes_of(old).exit_code == -15

    tell(tmp_path, story, {WORKER: {"command": "work", "stop_timeout_ms": 700_000}})


def test_deploy_is_refused_by_name_if_the_only_tree_that_it_could_take_is_occupied(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = release.runs[WORKER]
        processes_of(old).works_s = 600
        await deploy(machine, "b")
        outcome = await machine.deployer.deploy("c", "cli", lambda _: None)
        assert isinstance(outcome, StageFailed)
        assert "worker of aaaaaaaa in slot a" in str(outcome)
        assert live(machine).version.commit == COMMITS["b"]

    tell(tmp_path, story, {WORKER: {"command": "work", "stop_timeout_ms": 700_000}}, spare_tree=False)


def test_daemon_that_ends_gives_side_runs_their_time(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        worker = release.runs[WORKER]
        processes_of(worker).works_s = JOB_S
        began_s = asyncio.get_running_loop().time()
        await machine.deployer.stop()
        assert asyncio.get_running_loop().time() - began_s >= JOB_S
        assert signals(worker) == ["SIGTERM"]
        assert processes_of(worker).exit_code == -15

    quiet = {WORKER: {"command": "work", "quiet_signal": "TSTP"}}
    tell(tmp_path, story, quiet)


def test_daemon_that_ends_waits_for_those_that_retire_already(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = release.runs[WORKER]
        processes_of(old).works_s = JOB_S
        await deploy(machine, "b")
        began_s = asyncio.get_running_loop().time()
        await machine.deployer.stop()
        assert processes_of(old).exit_code == -15
        assert signals(old) == ["SIGTSTP", "SIGTERM"]
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(JOB_S, abs=0.5), "it was quiet for longer"

    tell(tmp_path, story, {WORKER: {"command": "work", "quiet_signal": "TSTP"}})


def test_side_runs_are_taken_over_by_the_next_daemon(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        web, worker = release.runs[WEB], release.runs[WORKER]
        await next_daemon(machine)

        adopted = live(machine)
        assert adopted is not release
        assert [run.session for run in (adopted.runs[WEB], adopted.runs[WORKER])] == [web.session, worker.session]
        assert adopted.runs[WORKER].process == worker.process
        assert signals(worker) == []
        with undisturbed(web):
            processes_of(worker).end(3)
            await until(lambda: adopted.runs[WORKER].running)

    tell(tmp_path, story)


def test_next_daemon_goes_on_with_those_that_retire(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = release.runs[WORKER]
        processes_of(old).works_s = STOP_S * 2
        await deploy(machine, "b")
        await asyncio.sleep(STOP_S / 2)
        await next_daemon(machine)

        (retiring,) = machine.supervisor.retirees.runs
        assert retiring.session is old.session
        assert signals(old) == ["SIGTERM"]
        assert processes_of(old).grace_s == pytest.approx(STOP_S / 2, abs=0.1)

    tell(tmp_path, story)


def test_all_that_retire_after_quick_deploys_end_though_the_daemon_changes(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = [release.runs[WORKER]]
        processes_of(old[0]).works_s = STOP_S * 2
        await deploy(machine, "b")
        old.append(live(machine).runs[WORKER])
        processes_of(old[1]).works_s = STOP_S * 2
        await deploy(machine, "c")
        assert machine.supervisor.retirees.runs == old
        await next_daemon(machine)
        await asyncio.sleep(STOP_S + 1)
        assert machine.running == list(machine.launcher.started[-2:])
        assert machine.supervisor.retirees.runs == []

    tell(tmp_path, story)


def test_daemon_that_is_killed_right_after_the_switch_leaves_its_end_to_the_next_one(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        worker, version = release.runs[WORKER], Version("b", COMMITS["b"], 2, release.version.config)
        machine.trees.heads[2] = version.commit
        candidate = await machine.launcher.launch_beside(version)
        machine.store.save_state(machine.store.state().promoted(version, "2026-11-27T10:00:00Z"))
        await next_daemon(machine)
        assert signals(worker) == ["SIGTERM"]
        await until(lambda: not worker.running)
        assert live(machine).version == version
        assert machine.running == [candidate.web, machine.launcher.started[-1]]
        assert machine.launcher.started[-1].name == WORKER

    tell(tmp_path, story)


def test_side_run_that_did_not_run_when_the_release_was_taken_over_is_started(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        worker = release.runs[WORKER]
        await machine.supervisor.pause()
        await worker.stop(0)
        await next_daemon(machine)

        with undisturbed(release.web):
            await until(lambda: len(machine.running) == 2)
        assert {release_id for _, release_id, _ in rows(machine)} == {release.release_id}

    tell(tmp_path, story)


def test_side_run_without_its_web_run_retires(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        worker = release.runs[WORKER]
        await machine.supervisor.pause()
        await release.web.stop(0)
        await next_daemon(machine)

        assert signals(worker) == ["SIGTERM"]
        await until(lambda: not worker.running)
        assert len(machine.running) == 2
        assert machine.supervisor.healthy

    tell(tmp_path, story)


def test_side_run_goes_on_when_the_web_run_of_its_version_is_started_anew(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        worker = release.runs[WORKER]
        live_version = release.version
        await machine.supervisor.pause()
        await release.stop(0)
        await machine.supervisor.resume(live_version)

        adopted = live(machine)
        assert adopted is not release
        assert adopted.runs[WORKER] is worker
        assert signals(worker) == []
        assert {release_id for _, release_id, _ in rows(machine)} == {adopted.release_id}

    tell(tmp_path, story)


def test_what_is_left_of_an_earlier_start_is_a_release_of_its_own(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = machine.launcher.process(A, release.release_id)
        found = releases_of([release.web, release.runs[WORKER], old])
        assert [list(left.runs.values()) for left in found] == [list(release.runs.values()), [old]]
        await old.stop(0)

    tell(tmp_path, story)


def test_run_of_an_earlier_daemon_does_not_retire() -> None:
    assert Running(A, 1).retiring is None


def test_side_run_that_ended_a_short_time_before_a_restart_is_not_steady_yet(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        worker = release.runs[WORKER]
        processes_of(worker).end(3)
        await until(lambda: release.runs[WORKER] is not worker)
        assert isinstance(await machine.deployer.restart("cli", lambda _: None), Done)
        assert standing(machine) == "unsteady"

    tell(tmp_path, story)
