"""Runs wrk against a contender, and measures throughput, latency, CPU and memory."""

import re
import subprocess
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.contenders import Contender

FOLDER = Path(__file__).parent
ROUNDS = 9
SECONDS = 1
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Kind(NamedTuple):
    title: str
    path: str
    connections: int = 64
    close: bool = False
    distinct: bool = False
    """Each request has a target and a cookie of its own."""
    visitors: bool = False
    """Each request is that of another browser, too."""
    chunk_bytes: int = 0
    """If not 0, a request is an upload of 1 MB in chunks of this size."""
    cookie: str = ""
    """One more that is sent; `script` for a client that is no browser."""

    def script(self) -> list[str]:
        """The Lua file for wrk, and its arguments."""
        if self.chunk_bytes:
            return [str(FOLDER / "upload.lua"), str(self.chunk_bytes)]
        options = ["close" if self.close else "keep", self.sameness]
        return [str(FOLDER / "browser.lua"), *options, *filter(None, [self.cookie])]

    @property
    def sameness(self) -> str:
        if self.visitors:
            return "visitors"
        return "distinct" if self.distinct else "same"


KINDS = [
    Kind("small reply, keep-alive", "/small"),
    Kind("small reply, keep-alive, every request's target and cookie new", "/small", distinct=True),
    Kind("small reply, connection per request", "/small", close=True),
    Kind("10 KB reply, keep-alive", "/10k"),
    Kind("1 MB reply, keep-alive", "/1m"),
]
UPLOADS = [
    Kind("1 byte", "/upload", connections=4, chunk_bytes=1),
    Kind("100 bytes", "/upload", connections=4, chunk_bytes=100),
    Kind("16 KB", "/upload", connections=4, chunk_bytes=16_384),
]


class Result(NamedTuple):
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    memory_mb: float
    failed: int


class Row(NamedTuple):
    """Medians of the rounds. A ratio is slot-machine's figure divided by this contender's, in the same round."""

    result: Result
    cpu_ratio: float | None
    requests_ratio: float


def measure(contenders: list[Contender], kind: Kind) -> dict[str, Row]:
    """Measures each contender once in each round, so that a slow phase of the machine affects all of them.

    Each round begins with another contender.
    """
    rounds: dict[str, list[Result]] = {contender.name: [] for contender in contenders}
    for number in range(ROUNDS):
        first = number % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            rounds[contender.name].append(one(contender, kind))
    return {name: row(results, rounds["slot-machine"]) for name, results in rounds.items()}


def row(theirs: list[Result], ours: list[Result]) -> Row:
    pairs = list(zip(ours, theirs, strict=True))
    return Row(
        Result(*map(median, zip(*theirs, strict=True))),
        median(our.cpu_us / its.cpu_us for our, its in pairs) if theirs[0].cpu_us else None,
        median(our.requests_per_s / its.requests_per_s for our, its in pairs),
    )


def one(contender: Contender, kind: Kind, seconds: int = SECONDS, origin: str = "") -> Result:
    """`origin` is another address of the contender than that of its port on loopback."""
    script, *options = kind.script()
    argv = ["wrk", "-t1", f"-c{kind.connections}", f"-d{seconds}s", "--latency", "-s", script]
    url = f"{origin or f'http://127.0.0.1:{contender.port}'}{kind.path}"
    before_ns = contender.cpu_ns()
    done = subprocess.run([*argv, url, "--", *options], capture_output=True, text=True, check=True)
    cpu_ns = contender.cpu_ns() - before_ns
    requests = int(found(r"(\d+) requests in", done.stdout))
    failed = sum(map(int, re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", done.stdout)))
    return Result(
        requests_per_s=float(found(r"Requests/sec:\s+([\d.]+)", done.stdout)),
        p50_ms=latency(done.stdout, 50),
        p99_ms=latency(done.stdout, 99),
        cpu_us=cpu_ns / requests / 1000,
        memory_mb=contender.memory_kb() / 1024,
        failed=failed,
    )


def latency(output: str, percent: int) -> float:
    value, unit = re.findall(rf"{percent}%\s+([\d.]+)(us|ms|s)", output)[0]
    return float(value) * UNITS_MS[unit]


def found(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    assert match, output
    return match[1]
