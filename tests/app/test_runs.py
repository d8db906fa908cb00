"""A release of two runs on a machine in memory: they begin and end together, and are kept running one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_machine.app.deployer import Done
from slot_machine.app.release import Release, releases_of
from slot_machine.app.run import Run
from slot_machine.core.model import WEB, Rules, Running, Version
from tests.fakes import COMMITS, Faults, Machine, processes_of, run, until

A = Version("a", COMMITS["a"], 1)
WORKER = "worker"
LONG_S = 40.0
GRACE_S = 30.0
WORKER_RULES = Rules(stop_grace_s=GRACE_S)

Story = Callable[[Machine, Release], Awaitable[None]]


def tell(data: Path, story: Story, rules: Rules = WORKER_RULES) -> None:
    """With commit `a` live, as a web run and a worker."""

    async def told() -> None:
        async with asyncio.TaskGroup() as tasks:
            machine = Machine.make(data, tasks, Faults(), {"health_interval_ms": 0})
            machine.launcher.rules[WORKER] = rules
            assert isinstance(await machine.deployer.deploy("a", "cli", lambda _: None), Done)
            assert machine.supervisor.release
            await story(machine, machine.supervisor.release)
            await machine.deployer.stop()
            assert not machine.running
            assert machine.store.processes() == []
        machine.close()

    run(told())


@contextmanager
def undisturbed(other: Run) -> Iterator[None]:
    yield
    assert other.running


def rows(machine: Machine) -> set[tuple[str, int, int]]:
    return {(row.run, row.release_id, row.running.run_id) for row in machine.store.processes() if row.running}


def test_both_runs_are_started_and_saved_as_one_release(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        web, worker = release.runs[WEB], release.runs[WORKER]
        assert machine.running == [web, worker]
        assert rows(machine) == {(WEB, web.run_id, web.run_id), (WORKER, web.run_id, worker.run_id)}

    tell(tmp_path, story)


def test_worker_that_crashes_is_started_again_beside_the_web_run(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        web, worker = release.runs[WEB], release.runs[WORKER]
        with undisturbed(web):
            processes_of(worker).end(3)
            await until(lambda: release.runs[WORKER] is not worker)
        assert machine.supervisor.watches[WORKER].last_exit == "exit code 3"
        assert machine.supervisor.watches[WORKER].restarts == 1
        assert (machine.supervisor.web.last_exit, machine.supervisor.web.restarts) == ("", 0)
        assert machine.supervisor.healthy
        assert machine.traffic.history == [web.upstream]
        assert rows(machine) == {
            (WEB, web.run_id, web.run_id),
            (WORKER, web.run_id, release.runs[WORKER].run_id),
        }

    tell(tmp_path, story)


def test_web_run_that_crashes_is_started_again_beside_the_worker(tmp_path: Path) -> None:
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


def test_run_that_is_not_to_be_started_again_is_left(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        processes_of(release.runs[WORKER]).end(0)
        await asyncio.sleep(LONG_S)
        assert machine.running == [release.web]
        assert machine.supervisor.watches[WORKER].last_exit == "exit code 0"
        assert machine.supervisor.healthy

    tell(tmp_path, story, Rules(restart=False))


def test_both_runs_are_stopped_when_they_are_replaced_and_each_has_its_grace(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        assert isinstance(await machine.deployer.deploy("b", "cli", lambda _: None), Done)
        assert machine.supervisor.release
        assert machine.supervisor.release is not release
        assert machine.running == list(machine.supervisor.release.runs.values())
        assert processes_of(release.runs[WORKER]).grace_s == GRACE_S
        assert 0 < (processes_of(release.web).grace_s or 0) <= 5

    tell(tmp_path, story)


def test_both_runs_are_taken_over_by_the_next_daemon(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        web, worker = release.runs[WEB], release.runs[WORKER]
        await machine.supervisor.pause()
        machine.launcher.left = machine.launcher.adopted()
        await machine.deployer.recover()

        assert machine.supervisor.release
        adopted = machine.supervisor.release
        assert adopted is not release
        assert [run.session for run in (adopted.runs[WEB], adopted.runs[WORKER])] == [web.session, worker.session]
        assert adopted.runs[WORKER].rules == worker.rules
        with undisturbed(web):
            processes_of(worker).end(3)
            await until(lambda: adopted.runs[WORKER].running)

    tell(tmp_path, story)


def test_worker_that_did_not_run_when_the_release_was_taken_over_is_started(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        await machine.supervisor.pause()
        await release.runs[WORKER].stop(0)
        machine.launcher.left = machine.launcher.adopted()
        await machine.deployer.recover()

        with undisturbed(release.web):
            await until(lambda: len(machine.running) == 2)
        assert {release_id for _, release_id, _ in rows(machine)} == {release.release_id}

    tell(tmp_path, story)


def test_worker_without_its_web_run_is_not_taken_over(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        await machine.supervisor.pause()
        await release.web.stop(0)
        machine.launcher.left = machine.launcher.adopted()
        assert [left.runs.keys() for left in machine.launcher.left] == [{WORKER}]
        await machine.deployer.recover()

        assert not release.runs[WORKER].running
        assert len(machine.running) == 2
        assert machine.supervisor.healthy

    tell(tmp_path, story)


def test_what_is_left_of_an_earlier_start_is_a_release_of_its_own(tmp_path: Path) -> None:
    async def story(machine: Machine, release: Release) -> None:
        old = machine.launcher.process(A, release.release_id)
        found = releases_of([release.web, release.runs[WORKER], old])
        assert [list(left.runs.values()) for left in found] == [list(release.runs.values()), [old]]
        await old.stop(0)

    tell(tmp_path, story)


def test_rules_of_an_earlier_daemon_are_those_of_a_web_run() -> None:
    assert Running(A, 1).rules == Rules(stop_grace_s=0, restart=True)
