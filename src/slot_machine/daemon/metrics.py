"""`GET /metrics`: what the daemon and the data plane counted, in Prometheus' text form."""

import os
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from slot_machine.app.supervisor import Supervisor
from slot_machine.core.upstream import LATENCY_BOUNDS_S
from slot_machine.host.process.proc import resident_bytes
from slot_machine.traffic.dataplane import Measured
from slot_machine.traffic.mode import Mode

PREFIX = "slot_machine"
STATUS_CLASSES = {0: "none", **{digit: f"{digit}xx" for digit in range(1, 6)}}
"""`none`: the client did not get the whole reply."""

NOTHING = Measured({}, 0, 0, 0, [])
BUCKETS = [*(f"{bound:g}" for bound in LATENCY_BOUNDS_S), "+Inf"]


async def render(supervisor: Supervisor, mode: Mode) -> bytes:
    """Counters begin at 0 with the daemon, those of requests with their data-plane process."""
    measured = await mode.measure()
    registry = CollectorRegistry()
    registry.register(
        _Found([*_processes(supervisor, measured or NOTHING), *(_requests(measured) if measured else ())])
    )
    return generate_latest(registry)


class _Found(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def _processes(supervisor: Supervisor, measured: Measured) -> Iterator[Metric]:
    yield CounterMetricFamily(f"{PREFIX}_switches", "Versions that went live", supervisor.switches)
    restarts = CounterMetricFamily(f"{PREFIX}_restarts", "Starts of a process that had ended", labels=["process"])
    restarts.add_metric(["app"], supervisor.all_restarts)
    restarts.add_metric(["proxy"], measured.restarts)
    yield restarts
    yield GaugeMetricFamily(f"{PREFIX}_app_healthy", "1 while the live app is healthy", float(supervisor.healthy))
    failures = CounterMetricFamily(
        f"{PREFIX}_health_checks_failed", "Of the live app, by what came instead of a 200", labels=["answer"]
    )
    for answer, number in sorted(supervisor.monitor.failures.items()):
        failures.add_metric([answer], number)
    yield failures
    memory = GaugeMetricFamily(f"{PREFIX}_memory_bytes", "Resident memory", labels=["process"])
    memory.add_metric(["daemon"], resident_bytes(os.getpid()))
    memory.add_metric(["proxy"], sum(map(resident_bytes, measured.pids)))
    if supervisor.release and supervisor.running:
        memory.add_metric(["app"], sum(map(resident_bytes, supervisor.release.session.members())))
    yield memory


def _requests(measured: Measured) -> Iterator[Metric]:
    requests = CounterMetricFamily(f"{PREFIX}_requests", "Requests that are over", labels=["slot", "status"])
    seconds = HistogramMetricFamily(f"{PREFIX}_request_seconds", "From a request's head to its end", labels=["slot"])
    in_flight = GaugeMetricFamily(f"{PREFIX}_requests_in_flight", "Requests that are not over", labels=["slot"])
    received = CounterMetricFamily(f"{PREFIX}_request_bytes", "Received from clients", labels=["slot"])
    sent = CounterMetricFamily(f"{PREFIX}_response_bytes", "Sent to clients", labels=["slot"])
    why = "Fields whose names have underscores, or could be mistaken"
    misnamed = CounterMetricFamily(f"{PREFIX}_request_fields_dropped", why, labels=["slot"])
    for slot, totals in sorted(measured.totals.items()):
        for status_class, number in sorted(totals.by_class.items()):
            requests.add_metric([slot, STATUS_CLASSES.get(status_class, "other")], number)
        below = map(float, accumulate(totals.latency))
        seconds.add_metric([slot], list(zip(BUCKETS, below, strict=True)), totals.seconds)
        in_flight.add_metric([slot], totals.in_flight)
        received.add_metric([slot], totals.bytes_in)
        sent.add_metric([slot], totals.bytes_out)
        misnamed.add_metric([slot], totals.misnamed_fields)
    yield from (requests, seconds, in_flight, received, sent, misnamed)
    yield CounterMetricFamily(f"{PREFIX}_requests_lost", "In flight in a proxy that ended by itself", measured.lost)
    yield GaugeMetricFamily(f"{PREFIX}_clients", "Connections of clients", measured.clients)
