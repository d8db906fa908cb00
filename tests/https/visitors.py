"""Visitors of an edge with `"tls": "internal"`: requests without a pause, and a WebSocket; what failed is kept."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException, HTTPSConnection, RemoteDisconnected

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.https.conftest import Edge, curl, until

GOING_AWAY = 1001
CLOSED = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, RemoteDisconnected)


def get(edge: Edge, url: str, *more: str) -> "subprocess.CompletedProcess[str]":
    return curl("--cacert", str(edge.state / "internal/root.pem"), *more, url)


def trusting(edge: Edge) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(edge.state / "internal/root.pem"))


class Load:
    """Requests one after the other, on new and on kept connections; what failed is kept.

    `closed` counts kept connections that were closed between two requests.
    """

    def __init__(self, edge: Edge, name: str) -> None:
        self.done, self.failed = 0, []  # type: int, list[str]
        self.closed = 0
        self.versions: set[str] = set()
        self._edge, self._name = edge, name
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(kept,)) for kept in (True, False)]

    def _run(self, kept: bool) -> None:
        while not self._stop.is_set():
            with closing(HTTPSConnection(self._name, timeout=10, context=trusting(self._edge))) as connection:
                self._ask(connection, reused=False)
                while kept and not self._stop.is_set() and connection.sock:
                    self._ask(connection, reused=True)

    def _ask(self, connection: HTTPSConnection, *, reused: bool) -> None:
        try:
            connection.request("POST", "/", body=b"x" * 1000)
            reply = connection.getresponse()
            body = reply.read().decode()
            if reply.status != 200 or not body.endswith("received 1000\n"):
                self.failed.append(str(reply.status))
            self.versions.add(body.partition("\nversion ")[2].partition("\n")[0])
        except (OSError, HTTPException) as error:
            if reused and isinstance(error, CLOSED):
                self.closed += 1
            else:
                self.failed.append(repr(error))
            connection.close()
        self.done += 1

    @contextmanager
    def running(self) -> Iterator["Load"]:
        for thread in self._threads:
            thread.start()
        try:
            until(lambda: self.done > 20)
            yield self
            before = self.done
            until(lambda: self.done > before + 20)
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


class Talk:
    """A WebSocket that echoes. It counts regular good-byes, after which it connects again."""

    def __init__(self, edge: Edge, name: str) -> None:
        self.echoes, self.goodbyes, self.failed = 0, 0, []  # type: int, int, list[str]
        self._trusting = trusting(edge)
        self._url = f"wss://{name}/"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set() and not self.failed:
            try:
                with connect(self._url, ssl=self._trusting, ping_interval=None) as socket:
                    self._talk(socket)
            except ConnectionClosed as error:
                if error.rcvd and error.rcvd.code == GOING_AWAY:
                    self.goodbyes += 1
                else:
                    self.failed.append(repr(error))
            except (OSError, WebSocketException) as error:
                self.failed.append(repr(error))

    def _talk(self, socket: ClientConnection) -> None:
        while not self._stop.wait(0.02):
            socket.send("hello")
            assert socket.recv(5) == "hello"
            self.echoes += 1

    @contextmanager
    def running(self) -> Iterator["Talk"]:
        self._thread.start()
        try:
            until(lambda: self.echoes or self.failed)
            yield self
        finally:
            self._stop.set()
            self._thread.join()
