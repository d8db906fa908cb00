"""Measures what only slot-machine has: switches under load, deploys, `status`. Also measures idle clients."""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from statistics import median
from typing import NamedTuple

import msgspec

from bench.contenders import Contender, Site, resident_kb
from bench.load import Kind, Result, one
from slot_machine.core.model import Attempt
from slot_machine.host.process.memory import proportional_bytes

SWITCHES = 100
CLIENTS = 10_000
IDLE_S = 10
LONG_LIFE_S = 1.5
"""The daemon delays the restart of a worker that lived less than 1 s."""


class Idle(NamedTuple):
    clients: int
    kb_each: float
    cpu_percent: float


def idle_clients(contender: Contender) -> Idle:
    """Measures clients that got one reply each and keep their connections open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CLIENTS + 1000), hard))
    before_kb = contender.memory_kb()
    clients = []
    try:
        for _ in range(min(CLIENTS, hard - 1000)):
            client = socket.create_connection(("127.0.0.1", contender.port), 10)
            client.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(4096)
            clients.append(client)
        kb = contender.memory_kb() - before_kb
        before_ns = contender.cpu_ns()
        time.sleep(IDLE_S)
        used_ns = contender.cpu_ns() - before_ns
    finally:
        for client in clients:
            client.close()
    return Idle(len(clients), kb / len(clients), used_ns / IDLE_S / 1e7)


class Switches(NamedTuple):
    """`still` is without switches, `switching` with them. `slowest_ms` is of a client with one request at a time."""

    still: Result
    switching: Result
    switches: int
    slowest_ms: float


def switches(site: Site, contender: Contender) -> Switches:
    """Rolls back again and again under load."""
    site.deploy()
    kind = Kind("", "/small", connections=8)
    still = one(contender, kind)
    stopped = threading.Event()
    slowest = [0.0]
    asking = threading.Thread(target=ask_singly, args=(site.port, stopped, slowest))
    asking.start()
    count = 0
    began_s = time.monotonic()
    results = []
    loading = threading.Thread(target=lambda: results.append(one(contender, kind, seconds=30)))
    loading.start()
    while count < SWITCHES or loading.is_alive():
        post(site, "/rollback")
        count += 1
    loading.join()
    stopped.set()
    asking.join()
    print(f"  {count} switches in {time.monotonic() - began_s:.0f} s", file=sys.stderr)
    return Switches(still, results[0], count, slowest[0])


def ask_singly(port: int, stopped: threading.Event, slowest: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not stopped.is_set():
        began_s = time.monotonic()
        connection.request("GET", "/small")
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200, reply.status
        slowest[0] = max(slowest[0], (time.monotonic() - began_s) * 1000)
        time.sleep(0.001)


class Deploy(NamedTuple):
    """Medians, in milliseconds. `beyond_ms` leaves out the stages `checkout`, `start` and `health`."""

    total_ms: float
    beyond_ms: float
    switch_ms: float


def deploys(site: Site, number: int = 15) -> Deploy:
    rows = []
    for _ in range(number):
        site.deploy()
        attempt = last_attempt(site)
        stages = attempt.stage_seconds
        own = attempt.seconds - stages["checkout"] - stages["start"] - stages["health"]
        rows.append((attempt.seconds * 1000, own * 1000, stages["switch"] * 1000))
    return Deploy(*map(median, zip(*rows, strict=True)))


def status_ratio(site: Site, number: int = 21) -> tuple[float, float]:
    """Milliseconds that `status` takes, and that a Python takes which does nothing."""
    nothing = [sys.executable, "-c", "pass"]
    pairs = [(timed([site.slot_machine, "status"], site), timed(nothing, site)) for _ in range(number)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def timed(argv: list[str], site: Site) -> float:
    began_s = time.monotonic()
    subprocess.run(argv, cwd=site.repo, check=True, capture_output=True)
    return (time.monotonic() - began_s) * 1000


def memory_mb(site: Site) -> float:
    """Resident memory of the daemon and its workers."""
    return sum(map(resident_kb, own_pids(site))) / 1024


def pss_mb(site: Site) -> float:
    """Of the same. A page that several processes share counts in parts."""
    return sum(map(proportional_bytes, own_pids(site))) / 2**20


def own_pids(site: Site) -> list[int]:
    assert site.daemon
    return [site.daemon.pid, *site.workers()]


def restart_ms(site: Site, number: int = 5) -> float:
    """Time from the kill of the worker to the first reply of the next worker, on a connection that waited for it."""
    assert site.daemon
    found = []
    for _ in range(number):
        time.sleep(LONG_LIFE_S)
        (plane,) = site.workers()
        os.kill(plane, signal.SIGKILL)
        began_s = time.monotonic()
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
            try:
                connection.request("GET", "/small")
                connection.getresponse().read()
                break
            except ConnectionResetError:
                continue  # The killed worker had accepted this connection.
            finally:
                connection.close()
        found.append((time.monotonic() - began_s) * 1000)
    return median(found)


def last_attempt(site: Site) -> Attempt:
    return msgspec.convert(call(site, "GET", "/status")["last_attempt"], Attempt)


def post(site: Site, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
    reply = call(site, "POST", path, body)
    assert reply["success"], reply
    return reply


def call(site: Site, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", site.api_port, timeout=60)
    connection.request(method, path, json.dumps(body) if body else None)
    reply: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return reply
