"""What `status` tells of the runs beside the web run: those of the live version, and those that retire."""

import time
from collections.abc import Iterator
from typing import Literal

import msgspec

from slot_machine.app.run import Run
from slot_machine.app.side_watch import SideWatch, Standing
from slot_machine.app.supervisor import Supervisor
from slot_machine.core.side_runs import parts
from slot_machine.host.process.proc import family_bytes


class SideStatus(msgspec.Struct, kw_only=True):
    """`pid` and `memory_mb` are 0 while it does not run. `restarts` counts since the last switch.

    `last_lines` is what it printed before it last ended.
    """

    name: str
    index: int
    pid: int
    state: Standing
    restarts: int
    last_exit: str
    last_lines: tuple[str, ...]
    memory_mb: float


class RetiringStatus(msgspec.Struct, kw_only=True):
    """A run of a version that was replaced. `quiet`: it takes no new work; `stopping`: it has its stop signal.

    `age_s` counts since it was told to retire. SIGKILL follows in `left_s`, for one that is `stopping`.
    """

    name: str
    index: int
    slot: str
    commit: str
    pid: int
    state: Literal["quiet", "stopping"]
    age_s: float
    left_s: float
    memory_mb: float


def live(supervisor: Supervisor) -> Iterator[SideStatus]:
    release = supervisor.release
    for watch in supervisor.watches.values():
        if release and isinstance(watch, SideWatch):
            run = release.runs.get(watch.name)
            pid = run.session.pid if run and run.running else 0
            yield SideStatus(
                name=watch.side.name,
                index=watch.side.index,
                pid=pid,
                state=watch.standing(release),
                restarts=watch.restarts,
                last_exit=watch.last_exit,
                last_lines=watch.last_lines,
                memory_mb=_memory_mb(pid),
            )


def retiring(supervisor: Supervisor) -> Iterator[RetiringStatus]:
    for run in supervisor.retirees.runs:
        if run.retiring and run.process:
            told_s, pid = run.retiring.told_s, run.session.pid if run.running else 0
            name, index = parts(run.name)
            yield RetiringStatus(
                name=name,
                index=index,
                slot=run.version.slot,
                commit=run.version.commit,
                pid=pid,
                state="stopping" if told_s else "quiet",
                age_s=_round(time.monotonic() - run.retiring.since_s),
                left_s=_round(told_s + run.process.stop_timeout_s - time.monotonic()) if told_s else 0.0,
                memory_mb=_memory_mb(pid),
            )


def memory_of(run: Run) -> int:
    """In bytes."""
    return family_bytes(run.session.pid) if run.running else 0


def _memory_mb(pid: int) -> float:
    return _round(family_bytes(pid) / 1e6) if pid else 0.0


def _round(number: float) -> float:
    return round(number, 1)
