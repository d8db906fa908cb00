"""Jobs on a machine in memory: they start at their times, once, whatever becomes of the clock."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slot_machine.app.jobs import LOOK_S
from tests.app.job_stories import DAY_S, EACH_MINUTE, HOUR_S, MINUTE_S, NIGHTLY, Story, tell
from tests.fakes import COMMITS


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
