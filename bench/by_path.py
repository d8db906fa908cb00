"""What it costs a worker to count requests by path for `stats`: two workers, one of which does not.

`python -m bench.by_path FD` is the worker that does not.
"""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from demo.__main__ import free_port

from bench.contenders import APP_CONF, Contender, nginx
from bench.load import Kind, one
from slot_machine.core.upstream import LATENCY_BOUNDS_S, PUBLIC, Address, Beside, Upstream
from slot_machine.proxy import gauge
from slot_machine.proxy.__main__ import main as serve
from slot_machine.proxy.observer import Observer
from slot_machine.proxy.wire import Settings

PAIRS = 31
STARTS_WITHIN_S = 30
KINDS = [
    Kind("small reply, keep-alive", "/small"),
    Kind("the same, every target and cookie new", "/small", distinct=True),
    Kind("the same, every path new", "/small/", distinct=True),
]


class Cost(NamedTuple):
    """CPU time for a request, and the median of the pairs' ratios."""

    title: str
    with_us: float
    without_us: float
    ratio: float


def costs() -> list[Cost]:
    with tempfile.TemporaryDirectory(prefix="slot-machine-bench-") as name, workers(Path(name)) as pair:
        return [cost(kind, *pair) for kind in KINDS]


def cost(kind: Kind, counting: Contender, plain: Contender, plain_kind: Kind | None = None) -> Cost:
    """Of the first one in comparison with the other one.

    `plain_kind` is that of the other one's requests, if they differ. Each pair begins with the other one, so that a
    slow phase of the machine affects both.
    """
    pairs = []
    for number in range(PAIRS):
        order = (counting, plain) if number % 2 else (plain, counting)
        used = {who.name: one(who, kind if who is counting else plain_kind or kind).cpu_us for who in order}
        pairs.append((used[counting.name], used[plain.name]))
    ours, theirs = zip(*pairs, strict=True)
    return Cost(kind.title, median(ours), median(theirs), median(our / its for our, its in pairs))


@contextmanager
def workers(folder: Path) -> Iterator[tuple[Contender, Contender]]:
    app_port = free_port()
    running = [nginx(folder / "app", APP_CONF, app_port, 0)]
    try:
        found = []
        for module in ("slot_machine.proxy", "bench.by_path"):
            process, port = worker(module, folder, app_port)
            running.append(process)
            found.append(Contender(module, "", port, [process.pid]))
        yield found[0], found[1]
    finally:
        for process in running:
            process.terminate()
            process.wait()


def worker(
    module: str, folder: Path, app_port: int, beside: Beside | None = None
) -> "tuple[subprocess.Popen[bytes], int]":
    upstream = Upstream(1, "a", {PUBLIC: Address("127.0.0.1", app_port)})
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener, socket.socket(socket.AF_UNIX) as control:
        listener.setblocking(False)
        control.bind(str(folder / (f"{module}-beside" if beside else module)))
        control.listen()
        fds = (listener.fileno(), control.fileno(), gauge.create())
        settings = Settings(
            listener_fds={PUBLIC: fds[0]}, control_fd=fds[1], gauge_fd=fds[2], upstream=upstream, beside=beside
        )
        settings_fd = settings.passed()
        argv = [sys.executable, "-m", module, str(settings_fd), "bench", "0"]
        process = subprocess.Popen(argv, pass_fds=(*fds, settings_fd))
        os.close(settings_fd)
        port = listener.getsockname()[1]
        serves(port)
        return process, port


def serves(port: int) -> None:
    """Returns when the worker has answered. Until then, a connection waits in the queue of the listener."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=STARTS_WITHIN_S)
    connection.request("GET", "/small")
    assert connection.getresponse().read()
    connection.close()


def observe(
    self: Observer,
    target: bytes,  # noqa: ARG001
    status: int,
    seconds: float,
    bytes_in: int,
    bytes_out: int,
    anonymous: bool = False,  # noqa: ARG001
) -> bool:
    """As `Observer.observe`, without paths."""
    totals = self.totals
    totals.by_class[status // 100] += 1
    totals.latency[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
    totals.seconds += seconds
    totals.bytes_in += bytes_in
    totals.bytes_out += bytes_out
    return False


if __name__ == "__main__":
    Observer.observe = observe  # type: ignore[method-assign]
    serve(Settings.inherited(int(sys.argv[1])))
