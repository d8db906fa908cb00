"""What happened between two answers of `GET /top`."""

from datetime import UTC, datetime

import msgspec

from slot_machine.cli.client import Json
from slot_machine.cli.figures import number, table
from slot_machine.cli.words import cut
from slot_machine.core.minutes import Tally, sparse
from slot_machine.core.model import short

SLOT_HEADINGS = ("slot", "req/s", "errors/s", "p50 ms", "p95 ms", "p99 ms", "in flight")
PROCESS_HEADINGS = ("process", "pid", "memory MB", "CPU %")
NAMES = 20


class Slot(msgspec.Struct):
    requests: int = 0
    errors: int = 0
    in_flight: int = 0
    times: list[int] = []


class Process(msgspec.Struct):
    name: str
    pid: int
    memory_mb: float
    cpu_s: float


class Load(msgspec.Struct):
    """An answer; see `daemon/top.py`."""

    time_s: float
    live_slot: str
    live_commit: str
    healthy: bool
    counted: bool
    slots: dict[str, Slot]
    processes: list[Process]


class SlotRates(msgspec.Struct):
    """Requests that reached no slot have the slot `""`."""

    slot: str
    requests_per_s: float
    errors_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    in_flight: int


class ProcessRates(msgspec.Struct):
    """100 % is one CPU."""

    name: str
    pid: int
    memory_mb: float
    cpu_percent: float


class Rates(msgspec.Struct):
    """Over `seconds` up to `time` (RFC 3339)."""

    time: str
    seconds: float
    live_slot: str
    live_commit: str
    healthy: bool
    counted: bool
    slots: list[SlotRates]
    processes: list[ProcessRates]


def between(before: Json, after: Json) -> Rates:
    """A worker that was replaced between them counts from 0 again: then the figures are too low, but never below 0."""
    first, last = msgspec.convert(before, Load), msgspec.convert(after, Load)
    seconds = max(last.time_s - first.time_s, 0.001)
    cpu_s = {process.pid: process.cpu_s for process in first.processes}
    return Rates(
        datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        round(seconds, 3),
        last.live_slot,
        last.live_commit,
        last.healthy,
        last.counted,
        [_slot(name, first.slots.get(name, Slot()), slot, seconds) for name, slot in last.slots.items()],
        [_process(process, cpu_s.get(process.pid, process.cpu_s), seconds) for process in last.processes],
    )


def _slot(name: str, first: Slot, last: Slot, seconds: float) -> SlotRates:
    earlier = [*first.times, *[0] * len(last.times)]
    tally = Tally(sparse([max(now - then, 0) for now, then in zip(last.times, earlier, strict=False)]))
    errors = max(last.errors - first.errors, 0)
    p50_ms, p95_ms, p99_ms = (round(tally.percentile_s(percent) * 1000, 2) for percent in (50, 95, 99))
    requests_per_s, errors_per_s = round(tally.requests / seconds, 2), round(errors / seconds, 2)
    return SlotRates(name, requests_per_s, errors_per_s, p50_ms, p95_ms, p99_ms, last.in_flight)


def _process(last: Process, earlier_s: float, seconds: float) -> ProcessRates:
    percent = max(last.cpu_s - earlier_s, 0) / seconds * 100
    return ProcessRates(last.name, last.pid, last.memory_mb, round(percent, 1))


def lines(rates: Rates, name: str) -> list[str]:
    """For people, within 80 columns."""
    state = "healthy" if rates.healthy else "not healthy"
    live = f"{short(rates.live_commit)} in slot {rates.live_slot}, {state}" if rates.live_slot else "nothing is live"
    found = [f"{cut(name, NAMES)}: {live}" if name else live, ""]
    if rates.counted:
        found += [*table(SLOT_HEADINGS, [_cells(slot) for slot in rates.slots if _worth_a_line(slot, rates)], 8), ""]
    else:
        found += ["requests are not counted with --no-proxy", ""]
    processes = [
        (cut(one.name, NAMES), str(one.pid), f"{one.memory_mb:.1f}", f"{one.cpu_percent:.1f}")
        for one in rates.processes
    ]
    return [*found, *table(PROCESS_HEADINGS, processes, NAMES)]


def _worth_a_line(slot: SlotRates, rates: Rates) -> bool:
    return bool(slot.requests_per_s or slot.in_flight or slot.slot == rates.live_slot)


def _cells(slot: SlotRates) -> tuple[str, ...]:
    times = (number(ms) for ms in (slot.p50_ms, slot.p95_ms, slot.p99_ms))
    rates = number(slot.requests_per_s), number(slot.errors_per_s)
    return (slot.slot or "(none)", *rates, *times, str(slot.in_flight))
