"""When jobs are due, on days with 23, 24 and 25 hours."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.core.config_file import parse
from slot_machine.core.errors import ConfigError
from slot_machine.core.schedule import NAMED, BadSchedule, Schedule

ZURICH = ZoneInfo("Europe/Zurich")
"""Clocks go from 2 to 3 on 2026-03-29, at 01:00 in UTC, and from 3 to 2 on 2026-10-25, at 01:00 in UTC."""
NEW_YORK = ZoneInfo("America/New_York")
"""Clocks go from 2 to 3 on 2026-03-08, at 07:00 in UTC, and from 2 to 1 on 2026-11-01, at 06:00 in UTC."""


def utc(text: str) -> datetime:
    return datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def due(schedule: str, after: str, until: str, zone: ZoneInfo = ZURICH) -> list[str]:
    times = Schedule(schedule).times(utc(after), utc(until), zone, 1000)
    return [time.strftime("%m-%d %H:%M") for time in times]


def test_a_time_that_is_left_out_is_due_once_right_after_the_change() -> None:
    assert due("30 2 * * *", "03-28 12:00", "03-30 12:00") == ["03-29 01:00", "03-30 00:30"]
    assert due("0,30 2 * * *", "03-28 12:00", "03-29 12:00") == ["03-29 01:00"]
    assert due("0 2 * * *", "03-07 12:00", "03-09 12:00", NEW_YORK) == ["03-08 07:00", "03-09 06:00"]


def test_a_time_that_comes_twice_is_due_once() -> None:
    assert due("30 2 * * *", "10-24 12:00", "10-26 12:00") == ["10-25 00:30", "10-26 01:30"]
    assert due("30 1 * * *", "10-31 12:00", "11-02 12:00", NEW_YORK) == ["11-01 05:30", "11-02 06:30"]


def test_in_the_second_of_two_equal_hours_nothing_is_due_that_was_due_in_the_first() -> None:
    assert due("30 2 * * *", "10-25 01:10", "10-26 12:00") == ["10-26 01:30"]


@pytest.mark.parametrize("day", ["03-29", "10-25"])
def test_intervals_are_those_of_the_time_that_passes(day: str) -> None:
    begin = utc(f"{day} 00:00")
    every = Schedule("*/30 * * * *").times(begin, begin + timedelta(hours=3), ZURICH, 1000)
    assert every == [begin + timedelta(minutes=30 * number) for number in range(1, 7)]
    hourly = Schedule("15 * * * *").times(begin, begin + timedelta(hours=3), ZURICH, 1000)
    assert hourly == [begin + timedelta(hours=number, minutes=15) for number in range(3)]


def test_it_is_due_after_a_moment_and_not_at_it() -> None:
    assert due("0 3 * * *", "06-01 01:00", "06-02 01:00") == ["06-02 01:00"]


def test_there_is_a_limit_to_what_is_listed() -> None:
    assert len(Schedule("* * * * *").times(utc("01-01 00:00"), utc("02-01 00:00"), ZURICH, 10)) == 10


@pytest.mark.parametrize("name", NAMED)
def test_names_stand_for_fields(name: str) -> None:
    assert Schedule(name.upper()).next_after(utc("06-01 12:30"), ZURICH)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("", "expected five fields"),
        ("* * * *", "expected five fields"),
        ("0 0 3 * * *", "expected five fields"),
        ("@reboot", "expected five fields"),
        ("60 * * * *", "bad minute"),
        ("0 3 * * $(id)", "bad day-of-week"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("* * */20 * 1L", "never due"),
        ("*/" + "9" * 5000 + " * * * *", "in '*/999"),
    ],
)
def test_the_configuration_refuses_a_bad_schedule_by_name(schedule: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(b'{"start_command": "app", "cron": {"nightly": {"schedule": "%s", "command": "x"}}}' % schedule.encode())
    assert str(refused.value).startswith("slot-machine.json: cron.nightly.schedule: ")
    assert words in str(refused.value)


@given(st.lists(st.text(alphabet="0123456789*/-,L#WSUNJA²٣ ", max_size=6), min_size=5, max_size=5).map(" ".join))
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    try:
        schedule = Schedule(text)
    except BadSchedule:
        return
    begin = utc("03-28 12:34")
    next_one = schedule.next_after(begin, ZURICH)
    assert next_one is None or next_one > begin
