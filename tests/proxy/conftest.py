"""A data-plane process with raw sockets on both sides: a client's, and the app's."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from slot_machine.core.upstream import PUBLIC, Address, Upstream
from slot_machine.proxy import gauge
from slot_machine.proxy.wire import Drained, Limits, Op, Reply, Request, Route, Settings
from tests.proxy.nursery import Process

TIMEOUT_S = 10
DEFAULTS = Limits()


class Connection:
    """A socket that reads to a mark or to the end, and never for longer than the limit."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.raw.settimeout(TIMEOUT_S)
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.raw.sendall(data)

    def until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            chunk = self.raw.recv(65536)
            assert chunk, f"closed before {mark!r}: {self._buffer!r}"
            self._buffer += chunk
        found, _, self._buffer = self._buffer.partition(mark)
        return found + mark

    def head(self) -> bytes:
        return self.until(b"\r\n\r\n")

    def rest(self) -> bytes:
        """Everything up to the end of the connection, however that comes."""
        data, self._buffer = self._buffer, b""
        try:
            while chunk := self.raw.recv(65536):
                data += chunk
        except ConnectionResetError:
            pass
        return data

    def silent(self) -> bool:
        """Whether nothing has arrived by now."""
        self.raw.settimeout(0)
        try:
            self._buffer += self.raw.recv(65536)
        except BlockingIOError:
            pass
        finally:
            self.raw.settimeout(TIMEOUT_S)
        return not self._buffer

    def open(self) -> bool:
        """Whether no end has arrived by now."""
        self.raw.settimeout(0)
        try:
            return self.raw.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        finally:
            self.raw.settimeout(TIMEOUT_S)

    def close(self) -> None:
        self.raw.close()


class App:
    """What stands for an app: the test accepts its connections and says each byte of its replies."""

    def __init__(self, number: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TIMEOUT_S)
        self._connections: list[Connection] = []
        self.upstream = Upstream(number, "a", {PUBLIC: Address("127.0.0.1", self._listener.getsockname()[1])})

    def accept(self) -> Connection:
        connection = Connection(self._listener.accept()[0])
        self._connections.append(connection)
        return connection

    def untouched(self) -> bool:
        """Whether nobody has connected."""
        self._listener.settimeout(0)
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return True
        finally:
            self._listener.settimeout(TIMEOUT_S)
        return False

    def stop_listening(self) -> None:
        self._listener.close()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._listener.close()


class Plane:
    def __init__(
        self,
        folder: Path,
        limits: Limits,
        trusted_proxies: tuple[str, ...],
        access_log: str,
        open_files: int,
        *,
        combined: bool = False,
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        with socket.socket(socket.AF_UNIX) as control:
            control.bind(str(folder / "control"))
            control.listen()
            fds = {PUBLIC: self._listener.fileno()}
            gauge_fd = gauge.create()
            configured = Settings(
                control_fd=control.fileno(),
                gauge_fd=gauge_fd,
                listener_fds=fds,
                limits=limits,
                trusted_proxies=trusted_proxies,
                access_log=access_log,
                access_log_combined=combined,
            )
            self.process = Process(configured, open_files)
            os.close(gauge_fd)
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(str(folder / "control"))
        self._control = Connection(raw)
        self._clients: list[Connection] = []
        self._apps: list[App] = []
        self._last_id = 0

    def begin(self, op: Op) -> int:
        self._last_id += 1
        self._control.send(msgspec.json.encode(Request(self._last_id, op)) + b"\n")
        return self._last_id

    def reply(self) -> Reply:
        return msgspec.json.decode(self._control.until(b"\n"), type=Reply)

    def do(self, op: Op) -> Reply:
        number = self.begin(op)
        reply = self.reply()
        assert reply.id == number
        return reply

    def app(self, *, routed: bool = True) -> App:
        app = App(len(self._apps) + 1)
        self._apps.append(app)
        if routed:
            self.do(Route(app.upstream))
        return app

    def client(self, request: bytes = b"", receive_buffer: int = 0) -> Connection:
        """`receive_buffer`: bytes that the kernel takes for a client that does not read; 0 for many."""
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection = Connection(raw)
        self._clients.append(connection)
        raw.connect(("127.0.0.1", self.port))
        connection.send(request)
        return connection

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """It does nothing meanwhile; what comes waits."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def control_is_silent(self) -> bool:
        """Whether no command is answered that has not been read: seen by the answer to a later one."""
        number = self.begin(Drained(0))
        return self.reply().id == number

    def close(self) -> None:
        self.process.terminate()
        code = self.process.wait(TIMEOUT_S)
        for client in (*self._clients, self._control):
            client.close()
        for app in self._apps:
            app.close()
        self._listener.close()
        assert code == 0


@contextmanager
def running(
    folder: Path,
    limits: Limits = DEFAULTS,
    trusted_proxies: tuple[str, ...] = (),
    access_log: str = "",
    open_files: int = 0,
    *,
    combined: bool = False,
) -> Iterator[Plane]:
    plane = Plane(folder, limits, trusted_proxies, access_log, open_files, combined=combined)
    try:
        yield plane
    finally:
        plane.close()


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with running(tmp_path) as plane:
        yield plane


def error_of(reply: bytes) -> str:
    return str(json.loads(reply.partition(b"\r\n\r\n")[2])["error"])


@pytest.fixture
def idle_fd() -> Iterator[int]:
    """A socket with nothing to read."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours.fileno()


@pytest.fixture
def closed_fd() -> Iterator[int]:
    """A socket whose other end is closed."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        yield ours.fileno()
