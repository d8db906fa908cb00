"""What `top` and `stats` print: within 80 columns, with rates that are never negative."""

import os
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest

from slot_machine.cli import figures, rates, stats
from slot_machine.cli.client import Json
from slot_machine.cli.commands import top
from slot_machine.core.minutes import BUCKETS

COMMIT = "c" * 40


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.1234, "0.123"), (4.567, "4.57"), (12.34, "12.3"), (123.4, "123"), (1_234_567, "1,234,567")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert figures.number(value) == text


def test_sparkline_fits_and_shows_the_highest_of_several() -> None:
    values = [0.0] * 95 + [8.0, 4.0]

    line = figures.sparkline(values, 50)
    assert len(line) <= 50
    assert line.rstrip() == line
    assert line[-2:] == "█▅" or line[-1:] == "█"
    assert figures.sparkline([0, 1, 2], 10) == " ▅█"


def load(at_s: float, requests: int, errors: int = 0, cpu_s: float = 1.0, *, slots: tuple[str, ...] = ("a",)) -> Json:
    times = [0] * BUCKETS
    times[10] = requests
    slot = {"requests": requests, "errors": errors, "in_flight": 3, "times": times}
    return {
        "time_s": at_s,
        "live_slot": "a",
        "live_commit": COMMIT,
        "healthy": True,
        "counted": bool(slots),
        "slots": dict.fromkeys(slots, slot),
        "processes": [{"name": "web", "pid": 17, "memory_mb": 40.0, "cpu_s": cpu_s}],
        "workers": [18],
    }


def test_rates_are_those_between_two_answers() -> None:
    found = rates.between(load(10, 100, 1, 1.0), load(12, 300, 5, 2.0))

    (slot,), (process,) = found.slots, found.processes
    assert (slot.requests_per_s, slot.errors_per_s, slot.in_flight) == (100, 2, 3)
    assert 0.8 < slot.p50_ms <= 1
    assert process.cpu_percent == 50


def test_worker_that_was_replaced_makes_no_negative_rates() -> None:
    found = rates.between(load(10, 100, 10, 5.0), load(12, 20, 1, 1.0))

    assert (found.slots[0].requests_per_s, found.slots[0].errors_per_s, found.processes[0].cpu_percent) == (0, 0, 0)


def test_slot_and_process_that_are_new_begin_now() -> None:
    found = rates.between(load(10, 100, slots=()) | {"processes": []}, load(12, 300))

    assert (found.slots[0].requests_per_s, found.processes[0].cpu_percent) == (150, 0)


def test_large_counts_are_in_millions() -> None:
    assert [figures.count(value) for value in (0, 999_999, 12_345_678)] == ["0", "999,999", "12.35M"]


@pytest.mark.parametrize("slots", [(), ("", "a", "b")])
def test_top_fits_into_80_columns(slots: tuple[str, ...]) -> None:
    before, after = load(10, 100, slots=slots), load(11, 100_000_000, 9_999_999, slots=slots)
    process = {"name": "w" * 60, "pid": 4_194_304, "memory_mb": 123_456.7, "cpu_s": 0.0}

    lines = rates.lines(rates.between(before, after | {"processes": [process]}), "n" * 60)

    assert max(map(len, lines)) <= 80
    assert ("requests are not counted with --no-proxy" in lines) == (not slots)


def answer(quarters: int) -> Json:
    numbers = {"requests": 1_234_567, "errors": 12_345, "requests_per_s": 1234.5}
    numbers |= {"p50_ms": 12.3, "p95_ms": 1234.5, "p99_ms": 12_345.6}
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    times = [(begin + timedelta(minutes=15 * number)).isoformat() for number in range(quarters)]
    marks = [{"time": times[0], "id": 1, "kind": "rollback", "commit": COMMIT, "slot": "a"}]
    paths = [numbers | {"path": "/" + "p" * 78}]
    return {
        "since": times[0],
        "until": times[-1],
        "counted": True,
        "total": numbers,
        "slots": {"a": numbers, "": numbers},
        "quarters": [numbers | {"begin": time, "marks": marks} for time in times],
        "slowest": paths,
        "failing": paths,
    }


@pytest.mark.parametrize("quarters", [4, 96, 2880])
def test_stats_fit_into_80_columns_and_a_day(quarters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = list(stats.lines(answer(quarters), "shop"))

    assert max(map(len, lines)) <= 80
    assert sum("rollback cccccccc" in line for line in lines) == min(quarters, stats.MOST_QUARTERS)
    assert any(line.startswith("requests") and "█" in line for line in lines)


def test_stats_of_nothing_have_no_empty_tables() -> None:
    nothing: Json = {"requests": 0, "errors": 0, "requests_per_s": 0.0, "p50_ms": 0.0, "p95_ms": 0.0, "p99_ms": 0.0}
    empty = answer(4) | {"total": nothing, "slots": {}, "quarters": [], "slowest": [], "failing": [], "counted": False}

    assert len(list(stats.lines(empty, ""))) == 5


def test_answers_are_what_the_client_expects() -> None:
    from slot_machine.daemon import stats as replies
    from slot_machine.daemon import top

    for theirs, ours in ((replies.Stats, stats.Stats), (top.Load, rates.Load), (top.Slot, rates.Slot)):
        given = {field.name for field in msgspec.structs.fields(cast(type[msgspec.Struct], theirs))}
        assert {field.name for field in msgspec.structs.fields(cast(type[msgspec.Struct], ours))} <= given


def test_top_takes_no_line_twice_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(top, "_write", written.append)
    monkeypatch.setattr(top, "_size", lambda: os.terminal_size((20, 4)))

    top._show(["shop: c0ffee00 in slot a, healthy", "", "process", "not shown"])

    (screen,) = written
    assert screen == "\x1b[Hshop: c0ffee00 in...\x1b[K\r\n\x1b[K\r\nprocess\x1b[K\x1b[J"
