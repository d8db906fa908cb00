"""Load without a pause: keep-alive clients, new connections, POSTs and slow requests, each in a thread."""

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

CLIENTS = (
    ("GET", "/", True),
    ("GET", "/", False),
    ("POST", "/", True),
    ("GET", "/slow", True),
    ("GET", "/slow", False),
    ("POST", "/slow", False),
)


@contextmanager
def until_stopped(threads: list[threading.Thread], stopped: threading.Event) -> Iterator[None]:
    """Runs the threads until the block is left. Then sets `stopped`, on which the threads must end."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


class Load:
    """`answers` counts the replies with status 200 by version. `failures` describes every other request."""

    def __init__(self, port: int, clients: tuple[tuple[str, str, bool], ...] = CLIENTS) -> None:
        """Each of `clients` has a method, a target, and whether it keeps its connection open."""
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._port = port
        self._clients = clients
        self._stopped = threading.Event()

    def reached(self, answers: int) -> bool:
        return self.answers.total() >= answers or bool(self.failures)

    def running(self) -> AbstractContextManager[None]:
        threads = [threading.Thread(target=self._ask, args=client) for client in self._clients]
        return until_stopped(threads, self._stopped)

    def _ask(self, method: str, path: str, keep_alive: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._stopped.is_set():
            try:
                connection.request(method, path, body=b"x" * 100 if method == "POST" else None)
                reply = connection.getresponse()
                body = reply.read().decode()
                if reply.status == 200:
                    self.answers[body] += 1
                else:
                    self.failures.append(f"{method} {path}: {reply.status} {body}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{method} {path}: {error!r}")
                connection.close()
            if not keep_alive:
                connection.close()
        connection.close()
