"""Runs of jobs as real processes, without a daemon: started, adopted, and ended."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from spec.waiting import wait_until

from slot_machine.app.job_machine import JobMachine
from slot_machine.app.job_run import JobRun
from slot_machine.app.seams import Starter
from slot_machine.core.model import Attempt, Version
from slot_machine.core.phases import Phase
from slot_machine.core.version_config import Job, Process, VersionConfig
from slot_machine.host.logs import SlotLogs
from slot_machine.state.store import Store
from tests.processes import alive

ALIKE: dict[str, str | Process] = {"cron": "x", "nightly": "x", "job": "x"}
"""Processes that are called almost like the job."""
VERSION = Version("b", "b" * 40, 2, VersionConfig(start_command="app", processes=ALIKE))


class Launcher:
    """What a job needs of the real one."""

    def __init__(self, data: Path) -> None:
        self.logs = SlotLogs(data, 0, 0)

    def environment(self, version: Version, _: Phase, ports: dict[str, int]) -> dict[str, str]:
        assert not ports
        return {"PATH": "/usr/bin:/bin", "OF_APP": version.slot}


class Place:
    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.machine = JobMachine(cast(Starter, Launcher(folder)), store, folder)

    def start(self, command: str, timeout_s: float = 60) -> JobRun:
        job = Job(schedule="* * * * *", command=command, timeout_ms=int(timeout_s * 1000))
        run, log = self.machine.start(VERSION, self.folder, "nightly", job)
        record = Attempt(id=1, kind="job", trigger="schedule", started_at="then", job="nightly")
        return JobRun(record, run, log, timeout_s, asyncio.get_running_loop().time())

    def adopted(self, left: JobRun) -> JobRun:
        run, log = self.machine.adopt("nightly", left.left)
        return JobRun(left.record, run, log, left.timeout_s, left.began_s)

    @property
    def output(self) -> str:
        (log,) = self.folder.glob("slot-b*nightly.log")
        return log.read_text()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with closing(Store.open(tmp_path / "state.db")) as store:
        yield Place(tmp_path, store)


def run(story: Coroutine[None, None, Attempt]) -> Attempt:
    with asyncio.Runner() as runner:
        return runner.run(story)


def test_it_runs_in_the_folder_with_the_environment_of_the_app(place: Place) -> None:
    async def story() -> Attempt:
        job = place.start('pwd; echo "$OF_APP $SLOT_MACHINE_JOB"; echo to-stderr >&2')
        assert job.run.process is None
        return await job.over()

    assert run(story()).result == "succeeded"
    assert place.output == f"{place.folder}\nb nightly\nto-stderr\n"


def test_the_last_lines_of_a_run_that_failed_are_its_own(place: Place) -> None:
    async def story() -> Attempt:
        await place.start("echo earlier").over()
        return await place.start("echo before; echo no such table >&2; exit 3").over()

    failed = run(story())
    assert (failed.result, failed.error) == ("failed", "exit code 3\n  | before\n  | no such table")


def test_a_run_that_ended_while_the_daemon_executed_itself_is_known(place: Place) -> None:
    async def story() -> Attempt:
        left = place.start("echo unseen; exit 5")
        await left.run.session.exited()
        over = await place.adopted(left).over()
        left.run.session.reap()
        return over

    failed = run(story())
    assert (failed.result, failed.error) == ("failed", "exit code 5\n  | unseen")


def test_a_run_that_was_adopted_is_followed_to_its_end(place: Place) -> None:
    async def story() -> Attempt:
        left = place.start("while test ! -e go; do sleep 0.02; done; exit 6")
        adopted = place.adopted(left)
        assert adopted.run.running
        (place.folder / "go").touch()
        over = await adopted.over()
        left.run.session.reap()
        return over

    assert run(story()).error == "exit code 6"


def test_a_run_whose_log_is_gone_has_a_result(place: Place) -> None:
    async def story() -> Attempt:
        left = place.start("exit 1")
        next(place.folder.glob("slot-b*nightly.log")).unlink()
        return await left.over()

    assert run(story()).error == "exit code 1"


@pytest.mark.parametrize("trap", ["", "trap : TERM; "], ids=["obeys", "ignores SIGTERM"])
def test_when_its_time_is_up_all_that_it_started_is_ended(
    place: Place, trap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slot_machine.app.job_run.LATE_GRACE_S", 0.3)

    async def story() -> Attempt:
        return await place.start(f"{trap}setsid sleep 600 & echo $!; sleep 600; sleep 600", 0.5).over()

    late = run(story())
    assert late.result == "failed"
    assert late.error.startswith("it did not end within 0.5 s")
    assert not alive(int(place.output.split()[0]))


def test_what_it_leaves_behind_is_ended(place: Place) -> None:
    async def story() -> Attempt:
        return await place.start("setsid sleep 600 & echo $!").over()

    assert run(story()).result == "succeeded"
    left = int(place.output)
    wait_until("it has ended", lambda: not alive(left))


def test_a_stop_gives_it_time(place: Place) -> None:
    async def story() -> Attempt:
        job = place.start("trap 'echo cleaned up; exit 0' TERM; touch begun; while :; do sleep 0.02; done")
        await asyncio.to_thread(wait_until, "it has begun", (place.folder / "begun").exists)
        return await job.stop()

    stopped = run(story())
    assert (stopped.result, stopped.error) == ("interrupted", "the daemon was stopped")
    assert place.output.endswith("cleaned up\n")


@pytest.mark.parametrize("command", ["exit 0", "no-such-program"])
def test_a_folder_that_is_gone_is_an_error(place: Place, command: str) -> None:
    async def story() -> Attempt:
        place.folder /= "gone"
        return place.start(command).record

    with pytest.raises(FileNotFoundError):
        run(story())
