"""`stats` for people: totals, sparklines, a line for each quarter of an hour, and the paths that stand out."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from slot_machine.cli.client import Json
from slot_machine.cli.figures import count, in_places, number, sparkline, table
from slot_machine.cli.words import cut
from slot_machine.core.model import short

HEADINGS = ("requests", "req/s", "errors", "p50 ms", "p95 ms", "p99 ms")
NAMES = 11
MOST_QUARTERS = 96
"""Of a day. Earlier ones are in the sparklines and in the JSON."""
MOST_PATHS = 10
FIGURES_WIDTH = 9 + 5 * 8
SHORTEST_PATH = 20


class Figures(msgspec.Struct, kw_only=True):
    requests: int
    errors: int
    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def cells(self) -> tuple[str, ...]:
        times = (number(ms) for ms in (self.p50_ms, self.p95_ms, self.p99_ms))
        return (count(self.requests), number(self.requests_per_s), count(self.errors), *times)


class Mark(msgspec.Struct):
    kind: str
    commit: str
    share: float = 0.0


class Quarter(Figures):
    begin: str
    marks: list[Mark]


class PathFigures(Figures):
    path: str


class Stats(msgspec.Struct):
    """An answer of `GET /stats`; see `daemon/stats.py`."""

    since: str
    until: str
    counted: bool
    total: Figures
    slots: dict[str, Figures]
    quarters: list[Quarter]
    slowest: list[PathFigures]
    failing: list[PathFigures]


def lines(reply: Json, name: str) -> Iterator[str]:
    """Times are those of this machine's time zone."""
    stats, width = msgspec.convert(reply, Stats), max(shutil.get_terminal_size().columns, 80)
    yield f"{f'{name}: ' if name else ''}requests from {_moment(stats.since)} to {_moment(stats.until)}"
    if not stats.counted:
        yield "nobody counts them with --no-proxy"
    yield ""
    slots = [(f"slot {slot}" if slot else "no slot", *figures.cells) for slot, figures in stats.slots.items()]
    yield from table(("", *HEADINGS), [("all", *stats.total.cells), *slots], NAMES)
    if stats.total.requests:
        yield ""
        yield from _sparklines(stats.quarters, width - NAMES - 1)
    yield from _by_quarter(stats.quarters)
    yield from _paths("slowest paths", stats.slowest, width)
    yield from _paths("failing paths", stats.failing, width)


def _sparklines(quarters: Sequence[Quarter], width: int) -> Iterator[str]:
    rows: dict[str, list[float]] = {
        "requests": [quarter.requests_per_s for quarter in quarters],
        "errors": [quarter.errors for quarter in quarters],
        "p95": [quarter.p95_ms for quarter in quarters],
    }
    for name, values in rows.items():
        if any(values):
            yield f"{name:<{NAMES}} {sparkline(values, width)}"
    marks = in_places([len(quarter.marks) for quarter in quarters], width)
    if any(marks):
        yield f"{'deploys':<{NAMES}} {''.join('^' if number else ' ' for number in marks)}".rstrip()


def _by_quarter(quarters: Sequence[Quarter]) -> Iterator[str]:
    """Those that had requests or a deploy."""
    shown = [quarter for quarter in quarters[-MOST_QUARTERS:] if quarter.requests or quarter.marks]
    rows = [(_moment(quarter.begin)[5:], *quarter.cells, _marks(quarter)) for quarter in shown]
    if rows:
        yield ""
        yield from table(("quarter", *HEADINGS, ""), rows, NAMES)


def _marks(quarter: Quarter) -> str:
    if len(quarter.marks) > 1:
        return f"{len(quarter.marks)} switches"
    return "".join(
        f"{f'share {mark.share:g}%' if mark.share else mark.kind} {short(mark.commit)}" for mark in quarter.marks
    )


def _paths(title: str, paths: Sequence[PathFigures], width: int) -> Iterator[str]:
    if paths:
        names = max(width - FIGURES_WIDTH, SHORTEST_PATH)
        yield ""
        rows = [(cut(path.path, names), *path.cells) for path in paths[:MOST_PATHS]]
        yield from table((title, *HEADINGS), rows, min(names, max(len(row[0]) for row in [(title,), *rows])))


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}"
