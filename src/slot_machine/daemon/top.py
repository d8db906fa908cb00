"""`GET /top`: what has been counted so far. Two answers make the rates that `slot-machine top` shows."""

import os
import time
from collections.abc import Iterator

import msgspec

from slot_machine.app.app import App
from slot_machine.core.model import WEB
from slot_machine.host.process import usage


class Slot(msgspec.Struct):
    """Since its workers started. `times` are the requests by `core.minutes.BOUNDS_S`."""

    requests: int
    errors: int
    in_flight: int
    times: list[int]


class Process(msgspec.Struct):
    """With its children. `cpu_s` is that of those that run."""

    name: str
    pid: int
    memory_mb: float
    cpu_s: float


class Load(msgspec.Struct):
    """`time_s` is that of a clock that is never set. `workers` are the pids of the processes that counted."""

    time_s: float
    live_slot: str
    live_commit: str
    healthy: bool
    counted: bool
    slots: dict[str, Slot]
    processes: list[Process]
    workers: list[int]


async def gather(app: App) -> Load:
    measured = await app.mode.measure()
    live, supervisor = app.deployer.state.live, app.supervisor
    slots = measured.totals if measured else {}
    workers = measured.pids if measured else []
    return Load(
        time_s=time.monotonic(),
        live_slot=live.slot if live else "",
        live_commit=live.commit if live else "",
        healthy=supervisor.healthy,
        counted=measured is not None,
        slots={
            slot: Slot(sum(totals.times), totals.errors, totals.in_flight, totals.times)
            for slot, totals in sorted(slots.items())
        },
        processes=[*_of_app(app), *(_process(f"proxy {n}", pid) for n, pid in enumerate(workers)), _daemon()],
        workers=workers,
    )


def _of_app(app: App) -> Iterator[Process]:
    release = app.supervisor.release
    if release:
        first_web = sorted(release.runs.values(), key=lambda run: (run.name != WEB, run.name))
        yield from (_process(run.name, run.session.pid) for run in first_web if run.running)
    yield from (_process(f"{run.name} (ends)", run.session.pid) for run in app.supervisor.retirees.runs if run.running)


def _process(name: str, pid: int) -> Process:
    family = usage.families([pid])
    return Process(name, pid, usage.memory_mb(family), round(sum(map(usage.cpu_s, family)), 2))


def _daemon() -> Process:
    """Alone: all others are its children."""
    pid = os.getpid()
    return Process("daemon", pid, usage.memory_mb([pid]), round(usage.cpu_s(pid), 2))
