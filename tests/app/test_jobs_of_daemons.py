"""Jobs through reloads, kills and stops of the daemon, on a machine in memory."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app.job_run import STOP_GRACE_S
from tests.app.job_stories import DAY_S, EACH_MINUTE, HOUR_S, MINUTE_S, NIGHTLY, Story, failing, next_minute, tell


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
        assert of.history[0].seconds == (0 if ends_before else 20)
        assert of.times == ["06-01 12:01:00"]

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


@pytest.mark.parametrize("step", ["begin", "start job"])
def test_a_kill_at_the_start_of_a_run_does_not_start_it_twice(tmp_path: Path, step: str) -> None:
    """Before its time is stored, it starts afterwards. From then on it never does."""

    async def story(of: Story) -> None:
        await next_minute(of)
        with failing(of, step, asyncio.CancelledError()):
            await asyncio.sleep(10)
        assert of.jobs.begun == []
        await of.end(killed=True)
        of.jobs.code = 0
        of.start()
        await asyncio.sleep(20)
        assert of.results == (["succeeded"] if step == "begin" else ["interrupted"])

    tell(tmp_path, story, cron={"often": EACH_MINUTE})
