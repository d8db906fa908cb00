"""An attempt along every path of the table: what clients hear of it, and what the history has of it."""

import sqlite3
from collections.abc import Iterator

import pytest

from slot_machine.app.attempt import LONGEST_ERROR, RESULTS, Report, RunningAttempt
from slot_machine.core.model import Attempt, Printed, Progress, Version
from slot_machine.core.phases import TABLE, Event, IllegalTransition, Phase
from slot_machine.core.upstream import Counts
from tests.fakes import COMMITS, Database

Path = tuple[Event, ...]
A = Version("a", COMMITS["a"])


def paths(phase: Phase = Phase.IDLE, seen: tuple[Phase, ...] = ()) -> Iterator[tuple[Path, Phase]]:
    """Every way through the table that meets no phase twice, also those that go no further; with where it leads."""
    yield (), phase
    for event, target in TABLE[phase].items():
        if target not in seen:
            for further, end in paths(target, (*seen, phase)):
                yield (event, *further), end


def begun(store: Database, report: Report = lambda _: None) -> RunningAttempt:
    return RunningAttempt(Attempt(id=0, kind="deploy", trigger="api", started_at="then"), store, report)


def after(store: Database, path: Path, report: Report = lambda _: None) -> RunningAttempt:
    attempt = begun(store, report)
    for event in path:
        attempt.on(event)
    return attempt


def stages(path: Path) -> list[str]:
    """Those that were begun, in their order."""
    phase, found = Phase.IDLE, []
    for event in path:
        phase = TABLE[phase][event]
        found.append(phase.stage)
    return found if TABLE[phase] else found[:-1]


def test_clients_hear_of_each_stage_once_when_it_begins_and_once_when_it_ends(store: Database) -> None:
    for path, end in paths():
        heard: list[Progress | Printed] = []
        after(store, path, heard.append)
        told = [(line.event, line.stage) for line in heard if isinstance(line, Progress)]

        expected = []
        for stage, next_event in zip(stages(path), (*path[1:], None), strict=False):
            bad = next_event in (Event.FAIL, Event.CANCEL, Event.ABANDON) and end is not Phase.SUCCEEDED
            expected += [("started", stage)] + ([("failed" if bad else "finished", stage)] if next_event else [])
        assert told == expected, (path, end)


def test_history_has_the_stages_the_last_of_them_and_the_result(store: Database) -> None:
    for path, end in paths():
        if end not in RESULTS:
            continue
        attempt = after(store, path)
        attempt.end("why")

        (row,) = store.attempts(1)
        assert (row.result, row.error) == (RESULTS[end], "why"), path
        assert set(row.stage_seconds) == set(stages(path)), path
        own = [stage for stage in stages(path) if stage != "restore"]
        assert row.stage == (own[-1] if own else ""), path


def test_history_has_the_stage_of_one_that_was_killed(store: Database) -> None:
    for path, end in paths():
        if end in (Phase.IDLE, Phase.RESTORE, Phase.CANCELLING) or end in RESULTS:
            continue
        after(store, path)

        (row,) = store.attempts(1)
        assert (row.result, row.stage) == ("running", end.stage), path


def test_nothing_follows_that_the_table_does_not_name(store: Database) -> None:
    for end, path in {end: path for path, end in paths()}.items():
        for event in set(Event) - set(TABLE[end]):
            heard: list[Progress | Printed] = []
            attempt = after(store, path, heard.append)
            before = len(heard)
            with pytest.raises(IllegalTransition):
                attempt.on(event)
            assert (attempt.phase, len(heard)) == (end, before)


def test_attempt_goes_on_though_its_steps_cannot_be_noted(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Attempt) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "note", refuse)
    attempt = begun(store)
    attempt.on(Event.DEPLOY)
    attempt.aim(A)
    attempt.on(Event.RESOLVED)

    assert attempt.phase is Phase.CHECKOUT
    attempt.on(Event.ABANDON)
    attempt.end()
    assert store.attempts(1)[0].commit == A.commit


def test_attempt_that_cannot_be_begun_in_the_history_is_none(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Attempt) -> Attempt:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "begin", refuse)
    with pytest.raises(sqlite3.OperationalError):
        begun(store)


def test_time_of_a_stage_that_comes_twice_is_that_of_both(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old version makes way after the start, where only that tells that the new one must run alone."""
    clock = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    attempt = after(store, (Event.REUSE, Event.STARTED, Event.ALONE))
    first = dict(attempt.record.stage_seconds)
    attempt.on(Event.OLD_STOPPED)
    attempt.on(Event.STARTED)

    assert first["start"] > 0
    assert attempt.record.stage_seconds["start"] == 2 * first["start"]


def test_outcome_is_told_with_the_stage_that_it_belongs_to(store: Database) -> None:
    heard: list[Progress | Printed] = []
    attempt = after(store, (Event.REUSE,), heard.append)
    attempt.summarize("pid 7")
    attempt.on(Event.STARTED)
    attempt.on(Event.HEALTHY)

    finished = {line.stage: line.message for line in heard if isinstance(line, Progress) and line.event == "finished"}
    assert finished == {"start": "pid 7", "health": ""}


def test_warnings_are_told_and_kept(store: Database) -> None:
    heard: list[Progress | Printed] = []
    attempt = after(store, (Event.DEPLOY,), heard.append)
    attempt.warn("one")
    attempt.warn("two")
    attempt.printed(b"three\n")

    assert attempt.warnings == ("one", "two")
    assert [line.message for line in heard[-3:] if isinstance(line, Progress)] == ["warning: one", "warning: two"]
    assert isinstance(heard[-1], Printed)
    assert (heard[-1].piece, heard[-1].stage) == (b"three\n", "resolve")


def test_counts_of_requests_add_up(store: Database) -> None:
    attempt = begun(store)
    attempt.count(None)
    assert not attempt.record.requests
    attempt.count(Counts(finished=2))
    attempt.count(Counts(finished=3, cut=1))

    assert attempt.record.requests == Counts(finished=5, cut=1)


def test_long_error_is_cut_in_the_history(store: Database) -> None:
    attempt = after(store, (Event.DEPLOY, Event.FAIL))
    attempt.end("x" * (LONGEST_ERROR + 1))

    assert store.attempts(1)[0].error == "x" * LONGEST_ERROR + " ..."
