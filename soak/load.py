"""Clients that send requests all the time, each in a thread, and check every byte of the replies."""

import hashlib
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count

from demo.load import until_stopped

from soak.app import EVENTS, FULL, digest, script
from soak.outages import WRONG_REPLY, Failure

PAUSE_S = (0.02, 0.06)
LARGEST_BODY = 100_000
WHOLE_STREAM = "".join(f"data: {number}\n\n" for number in range(EVENTS)).encode()

Check = Callable[[bytes], bool]


class Kind:
    def __init__(self, name: str, method: str, path: str, clients: int, *, keep_alive: bool = True) -> None:
        self.name, self.method, self.path, self.clients, self.keep_alive = name, method, path, clients, keep_alive

    def request(self, number: int, rng: random.Random, page: str) -> tuple[str, bytes | None, Check]:
        """A target, a body, and a function that checks the body of the reply.

        `page` is the version of a page that asks for its script; empty if there is none.
        """
        target = f"{self.path}?{number}"
        if self.path == "/assets" and page:
            return f"/{script(page)}?{number}", None, lambda reply: reply == page.encode()
        if self.path == "/write":
            return target, b"", lambda reply: reply == digest(number).encode()
        if self.method == "POST":
            body = rng.randbytes(rng.randrange(LARGEST_BODY))
            sent = hashlib.sha256(body).digest()
            return target, body, lambda reply: hashlib.sha256(reply).digest() == sent
        if self.path == "/events":
            return target, None, lambda reply: WHOLE_STREAM.startswith(reply) and reply.endswith(b"\n\n")
        whole = hashlib.sha256(target.encode()).digest() * 20
        return target, None, lambda reply: reply == whole


KINDS = (
    Kind("GET, keep-alive", "GET", "/", 3),
    Kind("GET, new connection", "GET", "/", 2, keep_alive=False),
    Kind("POST, keep-alive", "POST", "/echo", 2),
    Kind("POST, new connection", "POST", "/echo", 1, keep_alive=False),
    Kind("slow GET, keep-alive", "GET", "/slow", 2),
    Kind("slow GET, new connection", "GET", "/slow", 1, keep_alive=False),
    Kind("event stream", "GET", "/events", 2, keep_alive=False),
    Kind("script of a page", "GET", "/assets", 2),
    Kind("write to the shared data", "POST", "/write", 2),
)
CLIENTS = sum(kind.clients for kind in KINDS)


class Load:
    """`expect` sets the versions that may answer from now on. A reply of another version is a failure.

    `pages` are the versions whose pages may still ask for their scripts. `acknowledged` has the numbers of the writes.
    """

    def __init__(self, port: int, seed: int) -> None:
        self.requests: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.streams_ended_early = 0
        self.acknowledged: list[int] = []
        self.writes_refused = 0
        self.pages: list[str] = []
        self._port = port
        self._seed = seed
        self._expected: frozenset[str] = frozenset()
        self._numbers = count()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def expect(self, *versions: str) -> None:
        self._expected = frozenset(versions)

    def running(self) -> AbstractContextManager[None]:
        clients = [kind for kind in KINDS for _ in range(kind.clients)]
        threads = [
            threading.Thread(target=self._ask, args=(kind, random.Random(self._seed + number)))
            for number, kind in enumerate(clients)
        ]
        return until_stopped(threads, self._stopped)

    def _ask(self, kind: Kind, rng: random.Random) -> None:
        connection: http.client.HTTPConnection | None = None
        connected_s = 0.0
        while not self._stopped.wait(rng.uniform(*PAUSE_S)):
            if connection is None or connection.sock is None or not kind.keep_alive:
                if connection:
                    connection.close()
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
                connected_s = time.monotonic()
            began_s = time.monotonic()
            status, error = self._one(kind, rng, connection)
            with self._lock:
                self.requests[kind.name] += 1
                if error:
                    failure = Failure(kind.name, connected_s, began_s, time.monotonic(), status, error)
                    self.failures.append(failure)
            if error and not status:
                connection.close()
        if connection:
            connection.close()

    def _one(self, kind: Kind, rng: random.Random, connection: http.client.HTTPConnection) -> tuple[int, str]:
        """Sends one request. Returns the status and what was wrong; the status is 0 if the connection broke."""
        expected = self._expected
        number = next(self._numbers)
        target, body, is_right = kind.request(number, rng, rng.choice(self.pages or [""]))
        try:
            connection.request(kind.method, target, body)
            reply = connection.getresponse()
            got = reply.read()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        if reply.status == FULL:
            with self._lock:
                self.writes_refused += 1
            return 200, ""
        if reply.status != 200:
            return reply.status, got[:200].decode(errors="replace")
        version = reply.headers.get("X-Version", "")
        if version not in expected | self._expected:
            return WRONG_REPLY, f"version {version} answered, expected {sorted(expected | self._expected)}"
        if not is_right(got):
            return WRONG_REPLY, f"{len(got)} bytes are not the right reply"
        with self._lock:
            self.streams_ended_early += kind.path == "/events" and got != WHOLE_STREAM
            self.acknowledged += [number] * (kind.path == "/write")
        return 200, ""
