"""What people give as a time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from slot_machine.core.moments import since

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", "2026-03-10T11:58:30+00:00"),
        ("10m", "2026-03-10T11:50:00+00:00"),
        ("2h", "2026-03-10T10:00:00+00:00"),
        ("7d", "2026-03-03T12:00:00+00:00"),
        ("2026-03-01T08:00:00Z", "2026-03-01T08:00:00+00:00"),
        ("2026-03-01T08:00:00+02:00", "2026-03-01T06:00:00+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
    ],
)
def test_moment_is_in_utc(text: str, expected: str) -> None:
    assert since(text, NOW).isoformat() == expected


def test_time_without_a_zone_is_in_that_of_now() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=2)))

    assert since("2026-03-01T08:00:00", there).isoformat() == "2026-03-01T06:00:00+00:00"


@pytest.mark.parametrize("text", ["", "10", "10 m", "m", "-5m", "yesterday", "999999w"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write 10m, 2h"):
        since(text, NOW)
