"""`GET /stats`: figures by quarter of an hour, with what went live, and the paths that stand out."""

from datetime import UTC, datetime, timedelta

import pytest

from slot_machine.core.errors import BadRequest
from slot_machine.core.minutes import Tally
from slot_machine.core.model import Attempt, Kind, Result, rfc3339
from slot_machine.daemon.stats import ENOUGH_REQUESTS, Stats, _first_minute, _marks, compose
from slot_machine.state.stats import KEPT, Found

NOW = datetime(2026, 3, 10, 12, 5, tzinfo=UTC)
MINUTE = int(NOW.timestamp()) // 60
BEGIN = MINUTE - 65
"""11:00."""
FAST, SLOW = 10, 40
"""Buckets."""


def attempt(minutes_ago: float, kind: Kind = "deploy", result: Result = "succeeded", **more: object) -> Attempt:
    begun = rfc3339(NOW - timedelta(minutes=minutes_ago))
    fields: dict[str, object] = {"id": 7, "trigger": "cli", "commit": "c" * 40, "slot": "b", "seconds": 4.0} | more
    return Attempt(kind=kind, result=result, started_at=begun, **fields)  # type: ignore[arg-type]


def composed(found: Found, *attempts: Attempt) -> Stats:
    marks = list(_marks(attempts, NOW - timedelta(minutes=65)))
    return compose(found, marks, BEGIN, NOW, counted=True)


def test_slots_and_quarters_have_the_same_requests() -> None:
    tallies = {
        (BEGIN, "a"): Tally({FAST: 900}, 9),
        (BEGIN + 15, "a"): Tally({FAST: 5}),
        (BEGIN + 15, "b"): Tally({SLOW: 5}),
    }
    stats = composed(Found(tallies, {}))

    assert (stats.total.requests, stats.total.errors) == (910, 9)
    assert {slot: figures.requests for slot, figures in stats.slots.items()} == {"a": 905, "b": 5}
    assert [quarter.requests for quarter in stats.quarters] == [900, 10, 0, 0, 0]
    assert stats.quarters[0].requests_per_s == 1.0
    assert stats.quarters[1].p50_ms < 2 < 500 < stats.quarters[1].p95_ms
    assert (stats.since, stats.quarters[0].begin) == ("2026-03-10T11:00:00.000Z",) * 2


def test_rate_of_the_quarter_that_has_begun_is_that_of_its_minutes() -> None:
    stats = composed(Found({(MINUTE - 5, "a"): Tally({FAST: 300})}, {}))

    assert stats.quarters[-1].requests_per_s == 1.0


def test_what_went_live_is_marked_at_its_switch() -> None:
    stats = composed(
        Found({}, {}),
        attempt(1, "job"),
        attempt(2, result="failed"),
        attempt(5 + 1 / 6, "rollback", seconds=20.0, stage_seconds={"drain": 15.0}),
        attempt(20, "crash", "failed"),
        attempt(64),
        attempt(100),
    )

    kinds = {quarter.begin[11:16]: [mark.kind for mark in quarter.marks] for quarter in stats.quarters}
    marked = {begin: found for begin, found in kinds.items() if found}
    assert marked == {"11:00": ["deploy"], "11:45": ["crash", "rollback"]}


def test_paths_are_ordered_and_few_requests_say_little() -> None:
    paths = {
        "/fast": Tally({FAST: 100}),
        "/slow": Tally({SLOW: ENOUGH_REQUESTS}),
        "/once": Tally({SLOW + 5: 1}, 1),
        "/failing": Tally({FAST: 50}, 20),
    }
    stats = composed(Found({}, paths))

    assert [path.path for path in stats.slowest] == ["/slow", "/fast", "/failing", "/once"]
    assert [path.path for path in stats.failing] == ["/failing", "/once"]


@pytest.mark.parametrize(
    ("text", "minutes_ago"), [("24h", 24 * 60 + 5), ("10m", 20), ("1s", 5), ("400d", KEPT + 5), ("2030-01-01", 5)]
)
def test_figures_begin_with_a_quarter_of_an_hour(text: str, minutes_ago: int) -> None:
    assert MINUTE - _first_minute(text, NOW) == minutes_ago


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(BadRequest, match="since: 'soon' is no time"):
        _first_minute("soon", NOW)
