"""Visitors at a constant rate, whether or not the answers come: a process of its own, so that the tests do not slow it.

Half of the requests are POSTs, half of each go over connections that are kept, the others open one each. No request is
sent twice: what a browser would repeat counts as failed here.
"""

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from spec.waiting import wait_until

ANSWER_LIMIT_S = 20.0
CONNECT_LIMIT_S = 3.0
BODY = b"x" * 100
KINDS = (("GET", True), ("POST", False), ("GET", False), ("POST", True))
SNAPSHOT_S = 0.2

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Failure(NamedTuple):
    at_s: float
    """Since the load began."""
    address: str
    kind: str
    what: str
    after_s: float
    """How long the visitor had waited."""


class Load:
    """What the visitors have seen. `answers` are those with status 200, by their text, which is the app's version."""

    def __init__(self, addresses: list[str], port: int, host: str, rate: int, file: Path) -> None:
        self._file, self._began_s = file, time.monotonic()
        words = [str(file), host, str(rate), str(port), *addresses]
        self._process = subprocess.Popen([sys.executable, "-m", "tests.swarm.load", *words], stdin=subprocess.DEVNULL)
        wait_until("the visitors are there", file.exists)

    def _seen(self) -> "dict[str, list[list[object]] | dict[str, int] | float]":
        return json.loads(self._file.read_text())  # type: ignore[no-any-return]

    @property
    def answers(self) -> Counter[str]:
        return Counter(self._seen()["answers"])  # type: ignore[arg-type]

    @property
    def failures(self) -> list[Failure]:
        return [Failure(*failure) for failure in self._seen()["failures"]]  # type: ignore[union-attr]

    @property
    def p99_ms(self) -> float:
        return self._seen()["p99_ms"]  # type: ignore[return-value]

    def since_s(self) -> float:
        """Now, as the failures tell their time. It is up to 1 s later than theirs."""
        return time.monotonic() - self._began_s

    def account(self) -> str:
        """In words: how many answers of which version, how many failures of which kind."""
        failed = Counter(f"{failure.what} ({failure.address}, {failure.kind})" for failure in self.failures)
        lines = [f"{count:6} answered by {version}" for version, count in sorted(self.answers.items())]
        lines += [f"{count:6} failed: {what}" for what, count in failed.most_common()]
        return "\n".join([*lines, f"{failed.total():6} failed of {failed.total() + self.answers.total()}"])

    def more(self, version: str, answers: int = 200, limit_s: float = 60.0) -> None:
        """Waits until that version has answered as many requests from now on."""
        before = self.answers[version]
        wait_until(f"{version} answers", lambda: self.answers[version] >= before + answers, limit_s)

    def stop(self) -> None:
        """Waits for the requests in flight."""
        self._process.terminate()
        self._process.wait(ANSWER_LIMIT_S + CONNECT_LIMIT_S + 5)


class Visitors:
    def __init__(self, host: str, rate: int, port: int, addresses: list[str]) -> None:
        self._host, self._rate, self._port, self._addresses = host, rate, port, addresses
        self._answers: Counter[str] = Counter()
        self._times_ms: list[float] = []
        self._failures: list[Failure] = []
        self._idle: dict[str, list[Connection]] = defaultdict(list)
        self._began_s = time.monotonic()
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        kinds = itertools.cycle(itertools.product(KINDS, self._addresses))
        requests: set[asyncio.Task[None]] = set()
        for number in itertools.count():
            wait_s = self._began_s + number / self._rate - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if self.stopped.is_set():
                break
            (method, kept), address = next(kinds)
            task = asyncio.create_task(self._visit(method, kept, address))
            requests.add(task)
            task.add_done_callback(requests.discard)
        await asyncio.gather(*requests)

    async def _visit(self, method: str, kept: bool, address: str) -> None:
        began_s = time.monotonic()
        text, what = "", ""
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                status, text = await self._ask(method, kept, address)
                what = "" if status == 200 else f"status {status}"
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
            what = f"{type(error).__name__}"
        after_s = time.monotonic() - began_s
        if what:
            kind = f"{method}, {'kept' if kept else 'new'} connection"
            self._failures.append(Failure(round(began_s - self._began_s, 2), address, kind, what, round(after_s, 2)))
        else:
            self._answers[text] += 1
            self._times_ms.append(after_s * 1000)

    async def _ask(self, method: str, kept: bool, address: str) -> tuple[int, str]:
        idle = self._idle[address]
        # As browsers do: one that the server has closed meanwhile is not used.
        idle[:] = [connection for connection in idle if not connection[0].at_eof()]
        connection = idle.pop() if kept and idle else await self._connect(address)
        reader, writer = connection
        try:
            body = BODY if method == "POST" else b""
            fields = f"Host: {self._host}\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{method} / HTTP/1.1\r\n{fields}\r\n".encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            length = next(int(line[15:]) for line in head if line.lower().startswith("content-length:"))
            text = (await reader.readexactly(length)).decode()
        except BaseException:
            writer.close()
            raise
        if kept and "connection: close" not in map(str.lower, head):
            idle.append(connection)
        else:
            writer.close()
        return int(head[0].split()[1]), text.strip()

    async def _connect(self, address: str) -> Connection:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            return await asyncio.open_connection(address, self._port)

    def write(self, file: Path) -> None:
        times = sorted(self._times_ms) or [0.0]
        seen = {"answers": self._answers, "failures": self._failures, "p99_ms": times[len(times) * 99 // 100]}
        new = file.with_suffix(".new")
        new.write_text(json.dumps(seen))
        new.replace(file)


async def main(file: Path, host: str, rate: int, port: int, addresses: list[str]) -> None:
    visitors = Visitors(host, rate, port, addresses)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, visitors.stopped.set)
    running = asyncio.create_task(visitors.run())
    while not running.done():
        visitors.write(file)
        await asyncio.wait([running], timeout=SNAPSHOT_S)
    visitors.write(file)
    await running


if __name__ == "__main__":
    _, name, host, rate, port, *addresses = sys.argv
    asyncio.run(main(Path(name), host, int(rate), int(port), addresses))
