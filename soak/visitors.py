"""Visitors of `tests/clients/trial_app.py`, each in a thread. Each reply must be of a version that may answer."""

import http.client
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager, closing
from itertools import count
from pathlib import Path
from typing import NamedTuple

from demo.load import until_stopped
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode
from websockets.sync.client import connect

PAUSE_S = 0.01
TIMEOUT_S = 30


class Kind(NamedTuple):
    method: str
    path: str
    clients: int
    keep_alive: bool = True
    keeps_cookies: bool = False


KINDS = (
    Kind("GET", "/", 1),
    Kind("GET", "/", 2, keeps_cookies=True),
    Kind("GET", "/", 1, keep_alive=False),
    Kind("GET", "/checkout", 3, keeps_cookies=True),
    Kind("POST", "/checkout", 2),
    Kind("POST", "/", 1, keep_alive=False),
    Kind("POST", "/slow", 1),
    Kind("GET", "/slow", 1, keep_alive=False),
)
WEBSOCKETS = 2


class Visitors:
    """`answers` counts the replies by version, `refused` those with which a bad version itself refused.

    `acknowledged` has the targets of the POSTs that were answered. `closed` counts the WebSockets that versions closed.
    """

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.failures: list[str] = []
        self.acknowledged: list[str] = []
        self.closed = 0
        self._port = port
        self._url = f"ws://127.0.0.1:{port}/"
        self._expected: frozenset[str] = frozenset()
        self._bad = ""
        self._leaving = {""}
        self._numbers = count()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def expect(self, *versions: str, bad: str = "") -> None:
        """Only these may answer requests that are sent from now on. The one that is `bad` may answer 500, too."""
        self._bad = bad
        self._expected = frozenset((*versions, bad))

    def leaves(self, version: str) -> None:
        """It may close its WebSockets from now on. Any other version has to keep them open."""
        self._leaving.add(version)

    def misplaced_writes(self, writes: Path) -> list[str]:
        """What versions wrote twice, or acknowledged and did not write."""
        written = Counter(writes.read_text().splitlines())
        lost = [f"POST {target} was acknowledged and is lost" for target in self.acknowledged if not written[target]]
        return lost + [f"POST {target} was written {number} times" for target, number in written.items() if number > 1]

    def reached(self, answers: int) -> bool:
        return self.answers.total() >= answers or bool(self.failures)

    def running(self) -> AbstractContextManager[None]:
        """Each visitor has an address of its own, because that decides on the side of a share."""
        addresses = (f"127.0.1.{number}" for number in count(1))
        clients = [kind for kind in KINDS for _ in range(kind.clients)]
        threads = [threading.Thread(target=self._ask, args=(next(addresses), kind)) for kind in clients]
        threads += [threading.Thread(target=self._talk, args=(next(addresses),)) for _ in range(WEBSOCKETS)]
        return until_stopped(threads, self._stopped)

    def _ask(self, address: str, kind: Kind) -> None:
        cookies: dict[str, str] = {}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S, source_address=(address, 0))
        with closing(connection):
            while not self._stopped.wait(PAUSE_S):
                self._ask_once(kind, connection, cookies)
                if not kind.keep_alive:
                    connection.close()

    def _ask_once(self, kind: Kind, connection: http.client.HTTPConnection, cookies: dict[str, str]) -> None:
        expected, bad, began_s = self._expected, self._bad, time.monotonic()
        what = f"{kind.method} {kind.path}"
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
        target, body = f"{kind.path}?{next(self._numbers)}", b"x" * 100 if kind.method == "POST" else None
        try:
            connection.request(kind.method, target, body, headers)
            reply = connection.getresponse()
            text = reply.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._fail(f"{what}: {error!r} after {time.monotonic() - began_s:.2f} s")
            connection.close()
            return
        for line in reply.headers.get_all("Set-Cookie", ()) if kind.keeps_cookies else ():
            name, _, value = line.partition(";")[0].partition("=")
            cookies[name] = value
        if body:
            with self._lock:
                self.acknowledged.append(target)
        self._judge(what, reply.status, text, expected, bad)

    def _talk(self, address: str) -> None:
        """A version that leaves closes the WebSocket with 1001; then the client comes again."""
        while not self._stopped.is_set():
            version = ""
            try:
                with connect(self._url, open_timeout=TIMEOUT_S, source_address=(address, 0)) as socket:
                    expected = self._expected
                    while not self._stopped.wait(PAUSE_S):
                        socket.send("a message")
                        version, _, message = str(socket.recv(TIMEOUT_S)).partition(" ")
                        status = 200 if message == "a message" else 0
                        # It stays with the version that it began with until that one stops.
                        self._judge("WebSocket", status, version, expected | {version}, "")
            except ConnectionClosed as closed:
                if not closed.rcvd or closed.rcvd.code != CloseCode.GOING_AWAY or version not in self._leaving:
                    self._fail(f"WebSocket of {version!r}: {closed!r}")
                with self._lock:
                    self.closed += 1
            except (OSError, WebSocketException) as error:
                self._fail(f"WebSocket: {error!r}")

    def _judge(self, what: str, status: int, version: str, expected: frozenset[str], bad: str) -> None:
        if version not in expected | self._expected:
            self._fail(f"{what}: {status} {version!r}, expected one of {sorted(expected | self._expected)}")
        elif status == 500 and version in {bad, self._bad}:
            with self._lock:
                self.refused[version] += 1
        elif status != 200:
            self._fail(f"{what}: {status} {version!r}")
        else:
            with self._lock:
                self.answers[version] += 1

    def _fail(self, what: str) -> None:
        with self._lock:
            self.failures.append(what)
