"""Jobs on a machine in memory: they start at their times, once, in the version that is live then."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slot_machine.app import jobs as jobs_module
from slot_machine.app.deployer import Done
from slot_machine.app.job_run import STOP_GRACE_S
from slot_machine.app.job_runs import JobRuns
from slot_machine.app.jobs import LOOK_S, Jobs
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Attempt
from tests.fake_jobs import JobMachine, WallClock
from tests.fakes import COMMITS, Faults, Machine, run, until

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
NIGHTLY = {"schedule": "0 3 * * *", "command": "x", "timeout_ms": 3_600_000}
EACH_MINUTE = {"schedule": "* * * * *", "command": "x", "timeout_ms": 3_600_000}


class Story:
    """A daemon with one app. Commit `a` is live, with the jobs given."""

    def __init__(self, machine: Machine, jobs: JobMachine, clock: WallClock, tasks: asyncio.TaskGroup) -> None:
        self.machine = machine
        self.jobs = jobs
        self.clock = clock
        self._tasks = tasks
        self.daemon = machine.app.jobs

    async def deploy(self, commit: str, **fields: object) -> Done:
        text = json.dumps({"start_command": "app"} | fields)
        self.machine.trees.files[COMMITS[commit]] = text.encode()
        done = await self.machine.deployer.deploy(commit, "cli", lambda _: None)
        assert isinstance(done, Done), done
        return done

    async def end(self, *, killed: bool = False) -> None:
        await self.daemon.let_go()
        await asyncio.sleep(0)
        if killed:
            self.jobs.daemon_was_killed()

    def start(self) -> None:
        """Another daemon."""
        store, supervisor = self.machine.store, self.machine.supervisor
        store.interrupt_unfinished()
        cron = self.jobs.cron(store)
        runs = JobRuns(self.jobs, store, self._tasks)
        self.daemon = Jobs(runs, store, lambda version: self.machine.trees.path(version.tree), supervisor, *cron[1:])
        self.daemon.start(self._tasks)

    @property
    def history(self) -> list[Attempt]:
        """Of jobs, the first one first."""
        return [attempt for attempt in reversed(self.machine.store.attempts(1000)) if attempt.kind == "job"]

    @property
    def results(self) -> list[str]:
        return [attempt.result for attempt in self.history]

    @property
    def times(self) -> list[str]:
        return [begun.at for begun in self.jobs.begun]


def tell(
    data: Path,
    story: Callable[[Story], Awaitable[None]],
    now: datetime | None = None,
    faults: Faults | None = None,
    **fields: object,
) -> None:
    async def told() -> None:
        clock = WallClock(now) if now else WallClock()
        faults_or_none = faults or Faults()
        jobs = JobMachine(data, faults_or_none, clock)
        async with asyncio.TaskGroup() as tasks:
            machine = Machine.make(data, tasks, faults_or_none, {"health_interval_ms": 0}, jobs.cron)
            started = Story(machine, jobs, clock, tasks)
            started.daemon.start(tasks)
            await started.deploy("a", **fields)
            await story(started)
            await started.daemon.stop()
            await machine.deployer.stop()
            assert all(processes.exit_code is not None for processes in jobs.runs)
            assert machine.store.runs_under_way() == []
        machine.close()

    run(told())


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look at the clock each second of a day takes seconds."""
    monkeypatch.setattr(jobs_module, "LOOK_S", HOUR_S)


@pytest.mark.usefixtures("days")
def test_it_runs_at_its_times_in_the_zone_and_never_early(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await asyncio.sleep(3 * DAY_S)
        assert of.times == ["06-02 01:00:00", "06-03 01:00:00", "06-04 01:00:00"]
        assert of.results == ["succeeded"] * 3
        last = of.history[-1]
        assert (last.job, last.commit, last.slot, last.trigger) == ("nightly", COMMITS["a"], "a", "schedule")
        assert (last.seconds, last.error, last.started_at) == (5, "", "2026-06-04T01:00:00.000Z")
        assert of.daemon.runs.finished == {("nightly", "succeeded"): 3}

    tell(tmp_path, story, cron={"nightly": NIGHTLY})


@pytest.mark.usefixtures("days")
@pytest.mark.parametrize(
    ("month", "day", "times"),
    [(3, 28, ["03-29 01:00:00", "03-30 00:30:00"]), (10, 24, ["10-25 00:30:00", "10-26 01:30:00"])],
    ids=["clocks go forward", "clocks go back"],
)
def test_it_runs_once_where_the_clocks_change(tmp_path: Path, month: int, day: int, times: list[str]) -> None:
    async def story(of: Story) -> None:
        await asyncio.sleep(2 * DAY_S)
        assert of.times == times
        assert of.results == ["succeeded"] * 2

    tell(tmp_path, story, datetime(2026, month, day, 12, tzinfo=UTC), cron={"n": NIGHTLY | {"schedule": "30 2 * * *"}})


def test_the_status_tells_the_next_and_the_last_run(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = 20
        (job,) = of.daemon.overview()
        assert (job.name, job.schedule, job.next) == ("often", "* * * * *", "2026-06-01T12:01:00.000Z")
        assert (job.last, job.result, job.overdue) == ("", "", False)
        await asyncio.sleep(35)
        (job,) = of.daemon.overview()
        assert (job.next, job.last) == ("2026-06-01T12:02:00.000Z", "2026-06-01T12:01:00.000Z")
        assert job.result == "running"
        await asyncio.sleep(30)
        assert of.daemon.overview()[0].result == "succeeded"

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_it_never_runs_twice_at_once(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = 150
        await asyncio.sleep(MINUTE_S * 6)
        assert of.times == ["06-01 12:01:00", "06-01 12:04:00"]
        assert of.results == ["succeeded", "missed", "running", "missed"]
        assert of.history[1].error == (
            "it was due at 2026-06-01T12:02:00.000Z, while its run of 2026-06-01T12:01:00.000Z was under way"
        )
        assert of.daemon.overview()[0].last == "2026-06-01T12:04:00.000Z"

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_a_long_run_holds_up_neither_other_jobs_nor_deploys(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = 10 * MINUTE_S
        await until(lambda: of.times)
        of.jobs.takes_s = 5
        warnings = []
        for commit in "bcdef":
            warnings.append((await of.deploy(commit, cron={"often": EACH_MINUTE})).warnings)
            await asyncio.sleep(MINUTE_S)
        assert warnings[:2] == [(), ()]
        assert warnings[2] == (
            "job long of aaaaaaaa in slot a still runs in the third tree, so bbbbbbbb in slot b is overwritten:"
            " a rollback to it prepares it again",
        )
        assert [(begun.job, begun.commit, begun.tree) for begun in of.jobs.begun[:3]] == [
            ("long", "a", 1),
            ("often", "b", 2),
            ("often", "c", 3),
        ]
        assert 1 not in {begun.tree for begun in of.jobs.begun[1:]}
        assert of.daemon.runs.in_tree(1) == ["job long of aaaaaaaa in slot a"]
        await asyncio.sleep(10 * MINUTE_S)
        assert {attempt.result for attempt in of.history if attempt.job == "long"} == {"succeeded"}
        assert of.daemon.runs.in_tree(1) == []

    tell(tmp_path, story, cron={"long": EACH_MINUTE})


async def next_minute(of: Story) -> None:
    """Until five seconds before a full minute."""
    await asyncio.sleep((55 - of.clock().second) % 60 - of.clock().microsecond / 1e6)


def test_a_run_under_way_at_a_switch_ends_in_its_own_tree(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = 55
        await asyncio.sleep(MINUTE_S)
        (of.machine.trees.path(2) / "apps/web").mkdir(parents=True)
        await of.deploy("b", cron={"often": EACH_MINUTE}, root="apps/web")
        await asyncio.sleep(MINUTE_S)
        assert of.jobs.begun == [("often", "a", 1, "06-01 12:01:00"), ("often", "b", 2, "06-01 12:02:00")]
        assert of.jobs.folders == [of.machine.trees.path(1), of.machine.trees.path(2) / "apps/web"]
        assert [(run.result, run.commit[0], run.slot) for run in of.history] == [
            ("succeeded", "a", "a"),
            ("running", "b", "b"),
        ]
        last = of.machine.deployer.attempts.last
        assert last
        assert (last.kind, last.commit) == ("deploy", COMMITS["b"])

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_a_job_ends_with_the_version_that_has_it(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await asyncio.sleep(MINUTE_S)
        await of.deploy("b", cron={"renamed": EACH_MINUTE})
        assert [job.name for job in of.daemon.overview()] == ["renamed"]
        await asyncio.sleep(MINUTE_S)
        await of.deploy("c")
        assert of.daemon.overview() == []
        await asyncio.sleep(5 * MINUTE_S)
        await of.machine.deployer.rollback("cli", lambda _: None)
        assert [job.last for job in of.daemon.overview()] == ["2026-06-01T12:02:00.000Z"]
        await asyncio.sleep(MINUTE_S)
        assert [(begun.job, begun.at) for begun in of.jobs.begun] == [
            ("often", "06-01 12:01:00"),
            ("renamed", "06-01 12:02:00"),
            ("renamed", "06-01 12:08:00"),
        ]
        assert of.results == ["succeeded"] * 3

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


@pytest.mark.usefixtures("days")
def test_another_schedule_counts_from_the_switch(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await asyncio.sleep(DAY_S)
        await of.deploy("b", cron={"nightly": NIGHTLY | {"schedule": "0 5 * * *"}})
        await asyncio.sleep(DAY_S)
        assert of.times == ["06-02 01:00:00", "06-03 03:00:00"]
        assert of.results == ["succeeded"] * 2

    tell(tmp_path, story, cron={"nightly": NIGHTLY})


def test_one_that_is_due_during_a_switch_starts_right_after_it_in_the_new_version(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await of.machine.supervisor.pause()
        await asyncio.sleep(3 * MINUTE_S)
        assert of.jobs.begun == []
        assert of.daemon.overview()[0].overdue
        await of.deploy("b", cron={"often": EACH_MINUTE})
        await asyncio.sleep(LOOK_S)
        assert not of.daemon.overview()[0].overdue
        assert of.jobs.begun == [("often", "b", 2, "06-01 12:03:31")]
        await asyncio.sleep(MINUTE_S)
        assert of.times[1:] == ["06-01 12:04:00"]
        assert of.results == ["succeeded"] * 2

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_one_that_is_overdue_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(of: Story) -> None:
        await of.machine.supervisor.pause()
        await asyncio.sleep(5 * MINUTE_S)
        live = of.machine.store.state().live
        assert live
        await of.machine.supervisor.resume(live)

    tell(tmp_path, story, cron={"often": EACH_MINUTE})
    assert caplog.text.count("job often is overdue: it was due at 2026-06-01T12:01:00.000Z") == 1


def test_one_that_is_due_during_a_reload_starts_right_after_it_and_once(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await next_minute(of)
        await of.end()
        await asyncio.sleep(10)
        of.start()
        await asyncio.sleep(1)
        assert of.times == ["06-01 12:01:05"]
        for _ in range(3):
            await of.end()
            of.start()
            await asyncio.sleep(1)
        assert of.times == ["06-01 12:01:05"]

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


@pytest.mark.usefixtures("days")
def test_what_was_due_while_the_machine_was_off_is_told_and_does_not_run(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await asyncio.sleep(DAY_S)
        await of.end()
        await asyncio.sleep(3 * DAY_S)
        of.start()
        await asyncio.sleep(HOUR_S)
        assert of.times == ["06-02 01:00:00"]
        assert of.results == ["succeeded", "missed"]
        assert of.history[-1].error == (
            "it was due at 2026-06-03T01:00:00.000Z and 2 more times, while the daemon did not run or the machine slept"
        )
        (job,) = of.daemon.overview()
        assert (job.last, job.result, job.next) == (
            "2026-06-02T01:00:00.000Z",
            "succeeded",
            "2026-06-06T01:00:00.000Z",
        )
        await of.end()
        of.start()
        await asyncio.sleep(1)
        assert of.results == ["succeeded", "missed"]

    tell(tmp_path, story, cron={"nightly": NIGHTLY})


def test_a_machine_that_slept_goes_on_with_the_time_that_has_just_come(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await asyncio.sleep(LOOK_S)
        of.clock.set(timedelta(days=2))
        await asyncio.sleep(MINUTE_S)
        assert of.results == ["missed", "succeeded", "succeeded"]
        assert "and at least 999 more times" in of.history[0].error
        assert of.times == ["06-03 12:00:32", "06-03 12:01:00"]

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


@pytest.mark.parametrize("back", [timedelta(seconds=30), timedelta(hours=2), timedelta(days=400)])
def test_a_clock_that_is_set_back_stops_no_interval(tmp_path: Path, back: timedelta) -> None:
    async def story(of: Story) -> None:
        await asyncio.sleep(MINUTE_S)
        of.clock.set(-back)
        await asyncio.sleep(3 * MINUTE_S)
        assert len(of.times) >= 3
        assert of.results == ["succeeded"] * len(of.times)

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


@pytest.mark.usefixtures("days")
def test_a_clock_that_is_set_back_a_little_repeats_no_fixed_time(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await asyncio.sleep(13 * HOUR_S + 60)
        assert of.times == ["06-02 01:00:00"]
        of.clock.set(-timedelta(hours=2))
        await asyncio.sleep(DAY_S)
        assert of.times == ["06-02 01:00:00"]
        await asyncio.sleep(2 * HOUR_S)
        assert of.times[1:] == ["06-03 01:00:00"]

    tell(tmp_path, story, cron={"nightly": NIGHTLY})


def test_a_run_that_fails_is_told_like_a_crash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(of: Story) -> None:
        of.jobs.code, of.jobs.prints = 3, b"first\nno such table\n"
        await asyncio.sleep(MINUTE_S)
        (failed,) = of.history
        assert (failed.result, failed.error) == ("failed", "exit code 3\n  | first\n  | no such table")
        assert of.daemon.overview()[0].result == "failed"
        of.jobs.prints = b"second\n"
        await asyncio.sleep(MINUTE_S)
        assert of.history[-1].error == "exit code 3\n  | second"

    tell(tmp_path, story, cron={"often": EACH_MINUTE})
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "job often of aaaaaaaa in slot a failed: exit code 3; its output is in" in told[0].message
    assert "no such table" not in told[0].message


def test_of_much_output_the_last_lines_are_kept(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.code, of.jobs.prints = 1, b"".join(b"%d%s\n" % (number, b"x" * 500) for number in range(30))
        await asyncio.sleep(MINUTE_S)
        (failed,) = of.history
        assert failed.error.startswith("exit code 1\n  | ")
        assert "  | 29xxx" in failed.error
        assert len(failed.error) <= 4096

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


@pytest.mark.parametrize(
    "error",
    [
        OSError(2, "No such file or directory"),
        StageFailed("start", "cannot read env_file", hint="correct it"),
        ValueError("embedded null byte"),
    ],
)
def test_one_that_can_not_be_started_has_failed_and_is_tried_at_the_next_time(tmp_path: Path, error: Exception) -> None:
    async def story(of: Story) -> None:
        of.jobs.failures.append(error)
        await asyncio.sleep(2 * MINUTE_S)
        assert of.results == ["failed", "succeeded"]
        assert of.history[0].error.startswith("cannot start it: ")
        assert str(error) in of.history[0].error

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_a_run_whose_time_is_up_is_ended(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = DAY_S
        await asyncio.sleep(50)
        assert of.results == ["failed"]
        assert of.history[0].error == (
            "it did not end within 10 s, so it was ended; raise timeout_ms if it needs more time"
        )
        assert of.history[0].seconds == 10

    tell(tmp_path, story, cron={"often": EACH_MINUTE | {"timeout_ms": 10_000}})


def test_the_end_of_the_daemon_gives_a_run_its_time(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        await of.daemon.stop()
        assert of.jobs.runs[0].grace_s == STOP_GRACE_S
        assert [(run.result, run.error) for run in of.history] == [("interrupted", "the daemon was stopped")]
        await asyncio.sleep(2 * MINUTE_S)
        assert len(of.jobs.begun) == 1

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


@pytest.mark.parametrize(("code", "result"), [(0, "succeeded"), (4, "failed")])
def test_a_run_outlives_a_reload_and_its_end_is_known(tmp_path: Path, code: int, result: str) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s, of.jobs.code, of.jobs.prints = 100, code, b"in between\n"
        await asyncio.sleep(MINUTE_S)
        for _ in range(3):
            await of.end()
            of.start()
        assert of.daemon.runs.in_tree(1) == ["job often of aaaaaaaa in slot a"]
        assert of.daemon.overview()[0].result == "running"
        await asyncio.sleep(80)
        assert of.times == ["06-01 12:01:00"]
        assert of.results == [result, "missed"]
        assert of.history[0].seconds == 100
        assert of.history[0].error == ("exit code 4\n  | in between" if code else "")

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_the_time_of_a_run_goes_on_through_a_reload(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = DAY_S
        await asyncio.sleep(35)
        await of.end()
        await asyncio.sleep(50)
        of.start()
        await asyncio.sleep(1)
        assert of.results[0] == "failed"
        assert "did not end within 20 s" in of.history[0].error

    tell(tmp_path, story, cron={"often": EACH_MINUTE | {"timeout_ms": 20_000}})


@pytest.mark.parametrize("ends_before", [True, False])
def test_after_a_kill_of_the_daemon_the_result_is_unknown_and_the_run_not_repeated(
    tmp_path: Path, ends_before: bool
) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = 20
        await asyncio.sleep(35)
        await of.end(killed=True)
        await asyncio.sleep(20 if ends_before else 1)
        of.start()
        assert of.results == ["running"]
        await asyncio.sleep(20)
        assert of.results == ["interrupted"]
        assert "outlived the daemon" in of.history[0].error
        assert of.times == ["06-01 12:01:00"]

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


@pytest.mark.parametrize("step", ["begin", "start job"])
def test_a_kill_at_the_start_of_a_run_does_not_start_it_twice(tmp_path: Path, step: str) -> None:
    """In `begin` nothing was started yet, so it starts afterwards; from then on it never does."""

    async def story(of: Story) -> None:
        await next_minute(of)

        def kill() -> None:
            raise asyncio.CancelledError

        real = of.machine.faults.now

        def now(name: str) -> None:
            real(name)
            if name == step:
                kill()

        of.machine.faults.now = now  # type: ignore[method-assign]
        await asyncio.sleep(10)
        of.machine.faults.now = real  # type: ignore[method-assign]
        assert of.jobs.begun == []
        await of.end(killed=True)
        of.jobs.code = 0
        of.start()
        await asyncio.sleep(20)
        assert of.results == (["succeeded"] if step == "begin" else ["interrupted"])

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_nothing_starts_while_its_time_can_not_be_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(of: Story) -> None:
        await next_minute(of)
        real = of.machine.faults.now

        def full(name: str) -> None:
            real(name)
            if name == "begin":
                raise sqlite3.OperationalError("database or disk is full")

        of.machine.faults.now = full  # type: ignore[method-assign]
        await asyncio.sleep(30)
        assert of.jobs.begun == []
        of.machine.faults.now = real  # type: ignore[method-assign]
        await asyncio.sleep(2)
        assert len(of.jobs.begun) == 1

    tell(tmp_path, story, cron={"often": EACH_MINUTE})
    assert caplog.text.count("database or disk is full") == 1


def test_a_result_that_can_not_be_stored_is_stored_later(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await until(lambda: of.times)
        real = of.machine.faults.now

        def full(name: str) -> None:
            real(name)
            if name == "save attempt":
                raise sqlite3.OperationalError("database or disk is full")

        of.machine.faults.now = full  # type: ignore[method-assign]
        await asyncio.sleep(10)
        assert of.results == ["running"]
        assert of.daemon.overview()[0].result == "succeeded"
        of.machine.faults.now = real  # type: ignore[method-assign]
        await asyncio.sleep(2)
        assert of.results == ["succeeded"]

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_a_tree_with_a_run_is_never_overwritten(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        await of.deploy("b", cron={"other": EACH_MINUTE})
        await asyncio.sleep(MINUTE_S)
        await of.deploy("c", cron={})
        refused = await of.machine.deployer.deploy("d", "cli", lambda _: None)
        assert isinstance(refused, StageFailed)
        assert refused.stage == "checkout"
        assert "tree-2 can't be overwritten, as this still runs in it: job other of bbbbbbbb in slot b" in str(refused)
        assert of.machine.trees.heads == {1: COMMITS["a"], 2: COMMITS["b"], 3: COMMITS["c"]}
        of.jobs.runs[1].end(0)
        await asyncio.sleep(1)
        await of.deploy("d", cron={})
        assert of.machine.trees.heads[1] == COMMITS["a"]

    tell(tmp_path, story, cron={"long": EACH_MINUTE})


def test_without_a_previous_version_any_free_tree_will_do(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        await of.deploy("a", cron={})
        await of.deploy("a", cron={})
        await of.deploy("a", cron={})
        assert of.machine.trees.heads == dict.fromkeys((1, 2, 3), COMMITS["a"])
        live = of.machine.store.state().live
        assert live
        assert live.tree == 2

    tell(tmp_path, story, cron={"long": EACH_MINUTE})


def test_a_rollback_starts_a_version_whose_job_still_runs(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        await of.deploy("b", cron={})
        assert isinstance(await of.machine.deployer.rollback("cli", lambda _: None), Done)
        await asyncio.sleep(MINUTE_S)
        assert of.results == ["running", "missed"]

    tell(tmp_path, story, cron={"long": EACH_MINUTE})
