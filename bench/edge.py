"""What the edge costs: TLS and HTTP/1.1 in front of the proxy, in front of the app, and the proxy alone."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from demo.__main__ import free_port

from bench.contenders import Contender, children
from bench.load import KINDS, Result, one
from slot_machine.edge import link, place
from slot_machine.edge.wire import Request, Wish

ROUNDS = 5
START_LIMIT_S = 30.0
DATA = "/slot-machine-bench"


def results(slot_machine: str, app: Contender, proxy: Contender) -> dict[str, Result]:
    """Medians of the rounds. CPU and memory are those of edge and proxy, where they stand in between."""
    if (place.own() / place.NAME).exists():
        return {}
    rounds: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory(prefix="slot-machine-bench-") as name, edge(slot_machine, Path(name)) as front:
        for _ in range(ROUNDS):
            for title, behind in (("edge → proxy → app", proxy), ("edge → app", app)):
                wish = Wish(app="bench", data=DATA, port=behind.port, domains=("localhost",), tls="internal")
                link.ask(Request(op="hold", wish=wish))
                both = front._replace(pids=front.pids + behind.pids)
                rounds.setdefault(title, []).append(one(both, KINDS[0], origin=f"https://localhost:{front.port}"))
            rounds.setdefault("proxy → app", []).append(one(proxy, KINDS[0]))
    return {title: Result(*map(median, zip(*found, strict=True))) for title, found in rounds.items()}


@contextmanager
def edge(slot_machine: str, folder: Path) -> Iterator[Contender]:
    ports = {"http_port": free_port(), "https_port": free_port()}
    (folder / "edge.json").write_text(json.dumps({"state": "state", **ports}))
    command = [slot_machine, "edge", "start", "--config", str(folder / "edge.json")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    end_s = time.monotonic() + START_LIMIT_S
    try:
        while "ready: Traefik" not in (text := (folder / "log").read_text()):
            assert process.poll() is None, text
            assert time.monotonic() < end_s, text
            time.sleep(0.05)
        yield Contender("edge", "", ports["https_port"], children(process.pid))
    finally:
        process.terminate()
        process.wait()
