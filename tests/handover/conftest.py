"""A keeper, and versions of unmodified apps that it hands a port over between."""

import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pytest
from demo.load import until_stopped
from spec.ports import free_port

from slot_machine.handover.remote import wrapped
from slot_machine.handover.steering import HEALTH_CHECK_TOS
from slot_machine.handover.wire import Drained, Forget, Listens, Op, Promote, Relay, Reply, Request

TIMEOUT_S = 10
HERE = Path(__file__).parent


class Version:
    """One start of an app; `run_id` is what it answers with, and what the keeper knows it by."""

    def __init__(self, run_id: int, process: "subprocess.Popen[bytes]") -> None:
        self.run_id = run_id
        self.process = process

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(TIMEOUT_S)


class Stage:
    def __init__(self, folder: Path, prefix: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.prefix = prefix
        self.port = free_port()
        self.path = folder / "handover.sock"
        self.versions: list[Version] = []
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(self.path))
            listener.listen()
            argv = [*prefix, sys.executable, "-m", "slot_machine.handover", str(listener.fileno()), "shop"]
            self.keeper = subprocess.Popen(argv, pass_fds=[listener.fileno()])
        self.connect()

    def connect(self) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(TIMEOUT_S)
        self._connection.connect(os.path.relpath(self.path))
        self._replies = self._connection.makefile("rb")
        self._asked = 0

    def disconnect(self) -> None:
        self._replies.close()
        self._connection.close()

    def order(self, op: Op) -> Reply:
        self._asked += 1
        self._connection.sendall(msgspec.json.encode(Request(self._asked, op)) + b"\n")
        while (reply := msgspec.json.decode(self._replies.readline(), type=Reply)).id != self._asked:
            pass
        return reply

    def launch(self, *command: str, **env: str) -> Version:
        """Starts another version and does not wait for it; PORT and VERSION are in its environment."""
        number = len(self.versions) + 1
        argv = [*self.prefix, *self.wrapped(list(command), number)]
        environment = os.environ | {"PORT": str(self.port), "VERSION": str(number)} | env
        process = subprocess.Popen(argv, cwd=self.folder, env=environment, start_new_session=True)
        self.versions.append(Version(number, process))
        return self.versions[-1]

    def wrapped(self, command: list[str], run_id: int = 0) -> list[str]:
        return wrapped(self.path, command, run_id, {self.port})

    def start(self, *command: str, **env: str) -> Version:
        version = self.launch(*command, **env)
        assert self.order(Listens(version.run_id)).error == ""
        return version

    def first(self, *command: str, **env: str) -> Version:
        version = self.start(*command, **env)
        self.promote(version)
        return version

    def promote(self, version: Version) -> None:
        reply = self.order(Promote(version.run_id))
        assert (reply.error, reply.live) == ("", version.run_id)

    def retire(self, version: Version) -> None:
        self.order(Drained(version.run_id))
        self.order(Relay(version.run_id))
        version.end()
        self.order(Forget(version.run_id))

    def swap(self, old: Version, *command: str) -> Version:
        new = self.start(*command)
        self.promote(new)
        self.retire(old)
        return new

    def ask(self, path: str = "/", host: str = "127.0.0.1", tos: int = 0) -> str:
        """A connection of its own; with the tos, it is a health check."""
        connection = HTTPConnection(host, self.port, timeout=TIMEOUT_S)
        connection.sock = dial(host, self.port, tos)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def check(self, host: str = "127.0.0.1") -> str:
        return self.ask(host=host, tos=HEALTH_CHECK_TOS)

    def close(self) -> None:
        for version in self.versions:
            with suppress(ProcessLookupError):
                os.killpg(version.process.pid, 9)
            version.process.wait()
        self.disconnect()
        self.keeper.kill()
        self.keeper.wait()


def dial(host: str, port: int, tos: int = 0) -> socket.socket:
    six = ":" in host
    connection = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
    connection.settimeout(TIMEOUT_S)
    level, option = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if six else (socket.IPPROTO_IP, socket.IP_TOS)
    connection.setsockopt(level, option, tos)
    try:
        connection.connect((host, port))
    except OSError:
        connection.close()
        raise
    return connection


class Visitors:
    """A connection a request, from several threads. `answers` counts them by version."""

    def __init__(self, stage: Stage, threads: int = 3) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stage = stage
        self._threads = threads
        self._stopped = threading.Event()

    def running(self) -> AbstractContextManager[None]:
        threads = [threading.Thread(target=self._visit) for _ in range(self._threads)]
        return until_stopped(threads, self._stopped)

    def reached(self, answers: int) -> bool:
        return self.answers.total() >= answers or bool(self.failures)

    def _visit(self) -> None:
        while not self._stopped.is_set():
            try:
                self.answers[self._stage.ask()] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, a visitor would have seen it
                self.failures.append(repr(error))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


APP = str(Path(__file__).with_name("sample_app.py"))
NODE = """
const server = require("http").createServer((_, reply) => reply.end(process.env.VERSION));
server.listen(+process.env.PORT);
"""


def app(name: str) -> list[str]:
    return ["/bin/sh", "-c", f"exec {sys.executable} -IS {APP} {name}"]
