"""`GET /stats`: what the requests of the last hours or days took, by quarter of an hour and by path."""

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Self, TypeVar
from urllib.parse import parse_qs

import msgspec

from slot_machine.app.app import App
from slot_machine.core import moments
from slot_machine.core.errors import BadRequest, StageFailed
from slot_machine.core.minutes import Tally
from slot_machine.core.model import Attempt, rfc3339
from slot_machine.core.phases import Phase
from slot_machine.state.history import KEPT_ATTEMPTS
from slot_machine.state.stats import KEPT, QUARTER, Found

DEFAULT = "24h"
MOST_PATHS = 20
ENOUGH_REQUESTS = 10
"""A path with fewer is listed after those with as many: one slow request says little."""
Key = TypeVar("Key")

MARKED = ("deploy", "rollback", "restart", "crash", "promote")


class Figures(msgspec.Struct, kw_only=True):
    """`errors` were answered 5xx, or cut short by the app. The times are estimates to about a tenth."""

    requests: int
    errors: int
    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def of(cls, tally: Tally, over_s: float, **more: object) -> Self:
        percentiles = {f"p{percent}_ms": round(tally.percentile_s(percent) * 1000, 2) for percent in (50, 95, 99)}
        rate = round(tally.requests / over_s, 3) if over_s > 0 else 0.0
        fields = {"requests": tally.requests, "errors": tally.errors, "requests_per_s": rate, **percentiles, **more}
        return msgspec.convert(fields, cls)


class Mark(msgspec.Struct):
    """An attempt that changed what serves, at the time of its switch; or a crash."""

    time: str
    id: int
    kind: str
    commit: str
    slot: str
    share: float = 0.0
    """In per cent, of an attempt that gave the version a part of the visitors."""


class QuarterFigures(Figures):
    """`begin` is RFC 3339."""

    begin: str
    marks: tuple[Mark, ...]


class PathFigures(Figures):
    path: str


class Stats(msgspec.Struct):
    """`counted` is false with `--no-proxy`: nobody counts then, and what there is, is older."""

    since: str
    until: str
    counted: bool
    total: Figures
    slots: dict[str, Figures]
    quarters: list[QuarterFigures]
    slowest: list[PathFigures]
    failing: list[PathFigures]


async def gather(app: App, target: str) -> Stats:
    """`?since=24h`, or a time in RFC 3339: from the quarter of an hour in which that lies. Raises BadRequest."""
    now = datetime.now(UTC)
    first = _first_minute(parse_qs(target.partition("?")[2]).get("since", [DEFAULT])[-1], now)
    try:
        found = await asyncio.to_thread(app.recorder.stats.since, first)
    except (sqlite3.Error, OSError) as error:
        raise StageFailed("", f"cannot read the records of requests: {error}") from None
    attempts = app.deployer.attempts.history(KEPT_ATTEMPTS, jobs=False)
    return compose(found, list(_marks(attempts, _time(first))), first, now, counted=app.mode.name == "proxy")


def compose(found: Found, marks: Sequence[Mark], first: int, now: datetime, *, counted: bool) -> Stats:
    over_s = (now - _time(first)).total_seconds()
    slots = _summed((slot, tally) for (_, slot), tally in found.quarters.items())
    whole = _summed((0, tally) for tally in slots.values()).get(0, Tally())
    paths = [PathFigures.of(tally, over_s, path=path) for path, tally in found.paths.items()]
    slowest = sorted(paths, key=lambda path: (path.requests >= ENOUGH_REQUESTS, path.p95_ms), reverse=True)
    failing = sorted((path for path in paths if path.errors), key=lambda path: path.errors, reverse=True)
    return Stats(
        rfc3339(_time(first)),
        rfc3339(now),
        counted,
        Figures.of(whole, over_s),
        {slot: Figures.of(tally, over_s) for slot, tally in sorted(slots.items())},
        list(_quarters(found.quarters, marks, first, now)),
        slowest[:MOST_PATHS],
        failing[:MOST_PATHS],
    )


def _quarters(
    tallies: Mapping[tuple[int, str], Tally], marks: Sequence[Mark], first: int, now: datetime
) -> Iterator[QuarterFigures]:
    """All of them, those without requests as well."""
    by_quarter = _summed((begin, tally) for (begin, _), tally in tallies.items())
    for begin in range(first, int(now.timestamp()) // 60 + 1, QUARTER):
        began, end = _time(begin), _time(begin + QUARTER)
        inside = tuple(mark for mark in marks if rfc3339(began) <= mark.time < rfc3339(end))
        over_s = max((min(end, now) - began).total_seconds(), 60)
        tally = by_quarter.get(begin, Tally())
        yield QuarterFigures.of(tally, over_s, begin=rfc3339(began), marks=inside)


def _summed(rows: Iterable[tuple[Key, Tally]]) -> dict[Key, Tally]:
    found: dict[Key, Tally] = {}
    for key, tally in rows:
        found.setdefault(key, Tally({})).add(tally)
    return found


def _marks(attempts: Iterable[Attempt], since: datetime) -> Iterator[Mark]:
    """The first one first."""
    for attempt in reversed(list(attempts)):
        if attempt.kind in MARKED and (attempt.went_live or attempt.result == "shared" or attempt.kind == "crash"):
            before_drain_s = attempt.seconds - attempt.stage_seconds.get(Phase.DRAIN, 0.0)
            at = datetime.fromisoformat(attempt.started_at) + timedelta(seconds=before_drain_s)
            if at >= since:
                yield Mark(rfc3339(at), attempt.id, attempt.kind, attempt.commit, attempt.slot, attempt.share)


def _first_minute(text: str, now: datetime) -> int:
    """Raises BadRequest."""
    try:
        begin = moments.since(text, now)
    except ValueError as error:
        raise BadRequest(f"since: {error}", f"send a time, such as /stats?since={DEFAULT}") from None
    newest = int(now.timestamp()) // 60
    first = min(max(int(begin.timestamp()) // 60, newest - KEPT), newest)
    return first // QUARTER * QUARTER


def _time(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)
