"""`GET /metrics`: what the daemon and the data plane counted, in Prometheus' text format.

https://prometheus.io/docs/instrumenting/exposition_formats
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate
from typing import Literal

from slot_machine.app.candidates import Candidates
from slot_machine.app.jobs import Jobs
from slot_machine.app.run import Run
from slot_machine.app.side_watch import SideWatch
from slot_machine.app.supervisor import Supervisor
from slot_machine.core.candidate import WHOLE
from slot_machine.core.model import WEB
from slot_machine.core.upstream import LATENCY_BOUNDS_S
from slot_machine.daemon import side_status
from slot_machine.host.process.proc import resident_bytes
from slot_machine.traffic.dataplane import Measured
from slot_machine.traffic.mode import Mode

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "slot_machine"
STATUS_CLASSES = {0: "none", **{digit: f"{digit}xx" for digit in range(1, 6)}}
"""`none` means that the client did not get the whole reply."""

NOTHING = Measured({}, 0, 0, 0, [])
BUCKETS = [*(f"{bound:g}" for bound in LATENCY_BOUNDS_S), "+Inf"]
ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


async def render(app: str, supervisor: Supervisor, candidates: Candidates, jobs: Jobs, mode: Mode) -> bytes:
    """Counters begin at 0 with the daemon, those of requests with their data-plane process. `app` is a label of all."""
    measured = await mode.measure()
    of_requests = _requests(measured) if measured else ()
    metrics = [*_processes(supervisor, measured or NOTHING), _share(candidates), *_jobs(jobs), *of_requests]
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines_of(app)).encode()


class Metric:
    """`value` is that of a metric without labels."""

    def __init__(
        self, kind: Literal["counter", "gauge", "histogram"], name: str, words: str, value: float | None = None
    ) -> None:
        self._name = f"{PREFIX}_{name}"
        self._head = [f"# HELP {self._name} {words}", f"# TYPE {self._name} {kind}"]
        self._samples: list[tuple[str, str, float]] = []
        if value is not None:
            self.add(value)

    def add(self, value: float, part: str = "", **labels: str) -> None:
        """`part` is one of a histogram, such as `_sum`."""
        shown = ",".join(f'{name}="{labels[name].translate(ESCAPED)}"' for name in sorted(labels))
        self._samples.append((part, shown, float(value)))

    def lines_of(self, app: str) -> list[str]:
        label = f'app="{app.translate(ESCAPED)}"'
        samples = [
            f"{self._name}{part}{{{f'{label},{shown}' if shown else label}}} {value!r}"
            for part, shown, value in self._samples
        ]
        return [*self._head, *samples]


def _processes(supervisor: Supervisor, measured: Measured) -> Iterator[Metric]:
    yield Metric("counter", "switches_total", "Versions that went live", supervisor.switches)
    restarts = Metric("counter", "restarts_total", "Starts of a process that had ended")
    all_restarts = supervisor.all_restarts
    restarts.add(all_restarts.pop(WEB, 0), process="app")
    for name, number in sorted(all_restarts.items()):
        restarts.add(number, process="side", name=name)
    restarts.add(measured.restarts, process="proxy")
    yield restarts
    yield Metric("gauge", "app_healthy", "1 while the live app is healthy", supervisor.healthy)
    failures = Metric("counter", "health_checks_failed_total", "Of the live app, by what came instead of a 200")
    for answer, number in sorted(supervisor.monitor.failures.items()):
        failures.add(number, answer=answer)
    yield failures
    memory = Metric("gauge", "memory_bytes", "Resident memory")
    memory.add(resident_bytes(os.getpid()), process="daemon")
    memory.add(sum(map(resident_bytes, measured.pids)), process="proxy")
    if supervisor.release and supervisor.running:
        memory.add(sum(map(resident_bytes, supervisor.release.web.session.members())), process="app")
    side_runs = _side_runs(supervisor)
    for name, runs in side_runs:
        memory.add(sum(map(side_status.memory_of, runs)), process="side", name=name)
    yield memory
    running = Metric("gauge", "side_runs", "Processes of the live version beside its web process that run")
    for name, runs in side_runs:
        running.add(sum(run.running for run in runs), name=name)
    yield running
    yield Metric("gauge", "side_runs_retiring", "Those of earlier versions", len(supervisor.retirees.runs))


def _share(candidates: Candidates) -> Metric:
    share = Metric("gauge", "share", "The part of the visitors that the version in this slot gets beside the live one")
    with suppress(sqlite3.Error):
        if (candidate := candidates.record) and candidate.share:
            share.add(candidate.share / WHOLE, slot=candidate.version.slot)
    return share


def _side_runs(supervisor: Supervisor) -> list[tuple[str, list[Run]]]:
    """Those that were started, by the name of their process."""
    found: dict[str, list[Run]] = {}
    for watch in supervisor.watches.values():
        if isinstance(watch, SideWatch):
            runs = found.setdefault(watch.side.name, [])
            if supervisor.release and (run := supervisor.release.runs.get(watch.name)):
                runs.append(run)
    return sorted(found.items())


def _jobs(jobs: Jobs) -> Iterator[Metric]:
    runs = Metric("counter", "job_runs_total", "Runs of jobs that are over")
    for (name, result), number in sorted(jobs.runs.finished.items()):
        runs.add(number, job=name, result=result)
    running = Metric("gauge", "job_running", "1 while a run of the job is under way")
    overdue = Metric("gauge", "job_overdue", "1 if the job was due more than a minute ago, and has not started yet")
    for job in jobs.overview():
        running.add(job.result == "running", job=job.name)
        overdue.add(job.overdue, job=job.name)
    yield from (runs, running, overdue)


def _requests(measured: Measured) -> Iterator[Metric]:
    requests = Metric("counter", "requests_total", "Requests that are over")
    errors = Metric("counter", "request_errors_total", "Answered 5xx, or cut short by the app")
    seconds = Metric("histogram", "request_seconds", "From a request's head to its end")
    in_flight = Metric("gauge", "requests_in_flight", "Requests that are not over")
    received = Metric("counter", "request_bytes_total", "Received from clients")
    sent = Metric("counter", "response_bytes_total", "Sent to clients")
    why = "Fields whose names have underscores, or could be mistaken"
    misnamed = Metric("counter", "request_fields_dropped_total", why)
    for slot, totals in sorted(measured.totals.items()):
        for status_class, number in sorted(totals.by_class.items()):
            requests.add(number, slot=slot, status=STATUS_CLASSES.get(status_class, "other"))
        errors.add(totals.errors, slot=slot)
        below = list(accumulate(totals.latency))
        for bound, number in zip(BUCKETS, below, strict=True):
            seconds.add(number, "_bucket", le=bound, slot=slot)
        seconds.add(below[-1], "_count", slot=slot)
        seconds.add(totals.seconds, "_sum", slot=slot)
        in_flight.add(totals.in_flight, slot=slot)
        received.add(totals.bytes_in, slot=slot)
        sent.add(totals.bytes_out, slot=slot)
        misnamed.add(totals.misnamed_fields, slot=slot)
    yield from (requests, errors, seconds, in_flight, received, sent, misnamed)
    yield Metric("counter", "requests_lost_total", "In flight in a proxy that ended by itself", measured.lost)
    yield Metric("gauge", "clients", "Connections of clients", measured.clients)
