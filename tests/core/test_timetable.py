"""What a job waits for and what it has missed, whatever the clock of the machine does."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from slot_machine.core.timetable import ON_TIME, Entry
from slot_machine.core.version_config import Job

ZURICH = ZoneInfo("Europe/Zurich")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def entry(schedule: str = "* * * * *", handled_until: datetime = NOON) -> Entry:
    return Entry(Job(schedule=schedule, command="x"), ZURICH, handled_until)


def test_nothing_is_due_before_its_time() -> None:
    job = entry()
    assert job.look(NOON + MINUTE - timedelta(microseconds=1)) == []
    assert job.waiting is None
    assert job.look(NOON + MINUTE) == []
    assert job.waiting == job.next == NOON + MINUTE


def test_a_time_waits_until_it_is_dealt_with_however_late() -> None:
    job = entry()
    job.look(NOON + MINUTE)
    for minutes in range(2, 90):
        assert job.look(NOON + minutes * MINUTE) == []
    assert job.waiting == NOON + MINUTE
    job.handled(NOON + 90 * MINUTE)
    assert job.next == NOON + 91 * MINUTE


def test_what_is_noticed_too_late_was_missed() -> None:
    job = entry("0 15 * * *")
    due = NOON + timedelta(hours=1)
    assert job.look(due + ON_TIME) == [due]
    assert job.waiting is None
    assert job.missed_until(due + ON_TIME) == due + ON_TIME


def test_what_was_missed_is_told_until_it_is_dealt_with() -> None:
    job = entry()
    now = NOON + timedelta(minutes=3, seconds=30)
    for _ in range(2):
        assert job.look(now) == [NOON + MINUTE, NOON + 2 * MINUTE]
    assert job.waiting == NOON + 3 * MINUTE
    job.handled(job.missed_until(now))
    assert job.look(now) == []
    assert job.waiting == NOON + 3 * MINUTE


def test_another_schedule_or_zone_is_another_one() -> None:
    assert entry().followed == entry(handled_until=NOON + MINUTE).followed
    assert entry().followed != entry("0 * * * *").followed
    assert entry().followed != Entry(Job(schedule="* * * * *", command="x"), ZoneInfo("UTC"), NOON).followed


@given(
    st.sampled_from(["* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *", "0 3 * * *", "15,45 1-3 * * *"]),
    st.lists(st.integers(1, 7200), min_size=1, max_size=60),
    st.sampled_from([datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)]),
)
def test_each_time_runs_or_is_missed_once(schedule: str, steps_s: list[int], begin: datetime) -> None:
    """However the clock is looked at, as long as it goes forward."""
    job, now = entry(schedule, begin), begin
    seen: list[datetime] = []
    for step_s in steps_s:
        now += timedelta(seconds=step_s)
        if missed := job.look(now):
            seen += missed
            job.handled(job.missed_until(now))
        if job.waiting:
            assert now - ON_TIME < job.waiting <= now
            seen.append(job.waiting)
            job.handled(now)
    assert seen == entry(schedule, begin)._schedule.times(begin, now, ZURICH, 10_000)
