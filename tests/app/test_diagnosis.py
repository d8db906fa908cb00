"""What the error of a failed boot tells the operator."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slot_machine.app.diagnosis import Boot
from slot_machine.app.run import Run
from slot_machine.core.errors import PortTaken
from slot_machine.core.model import WEB, Running, Version
from slot_machine.host.logs import SlotLogs
from slot_machine.host.network.health import Unhealthy
from slot_machine.host.network.listeners import Foreign, Listeners
from slot_machine.host.network.probe import Answer, Probe
from slot_machine.host.network.sockdiag import SocketInfo, listening
from tests.fakes import COMMITS, Database, Faults, Processes

PORT, OURS = 21_737, 3000
FIELDS = ("health_endpoint", "health_status", "health_host", "health_timeout_ms")


class Found(Listeners):
    """The app has these listening sockets, and no other program has one on its ports."""

    def __init__(self, *sockets: SocketInfo) -> None:
        self.sockets = sockets

    def at(self, *_: object) -> set[int]:
        return set()

    def own(self) -> list[SocketInfo]:
        return [*self.sockets]


class Taken(Found):
    """Another program is bound to the app's port, and does not listen there."""

    def at(self, *_: object) -> set[int]:
        raise Foreign("port 21737 is not the app's", "end process 1, and try again")


Made = Callable[..., Boot]


@pytest.fixture
def boot(store: Database, tmp_path: Path) -> Iterator[Made]:
    logs = SlotLogs(tmp_path, 0, 0)
    opened = []

    def make(*output: str, sockets: tuple[SocketInfo, ...] = (), env: dict[str, str] | None = None) -> Boot:
        log = logs.open("a")
        opened.append(log)
        log.write("".join(f"{line}\n" for line in output).encode())
        what = Running(Version("a", COMMITS["a"], 1), 1, PORT, PORT)
        run = Run(WEB, 1, Processes(Faults(), 1), what, store, log.path, Found(*sockets))
        return Boot(run, log, tmp_path, env or {}, frozenset({OURS, 9900}))

    yield make
    for log in opened:
        log.close()


def test_port_that_another_program_has_is_told(boot: Made) -> None:
    made = boot("Address already in use")
    made.run.listeners = Taken()

    exited = made.exited(1)
    unhealthy = made.unhealthy(Unhealthy("not healthy within 1 s", None, (PORT,)), Probe(PORT, "/"))

    assert isinstance(exited, PortTaken)
    assert not isinstance(unhealthy, PortTaken)
    for error, begins in ((exited, "the app exited while it booted: exit code 1"), (unhealthy, "not healthy")):
        assert (error.stage, error.output) == ("health", ("Address already in use",))
        assert str(error).startswith(begins)
        assert str(error).endswith("; port 21737 is not the app's")
        assert error.hint.startswith("end process 1, and try again; its output is in ")


def of_port(port: int, host: str = "0.0.0.0") -> SocketInfo:
    ends = port.to_bytes(2, "big") + b"\0\0" + socket.inet_aton(host) + bytes(28)
    return SocketInfo(socket.AF_INET, 10, ends, 0, 1, only_ipv6=False)


@pytest.mark.parametrize(
    "line",
    [
        "Error: listen EADDRINUSE: address already in use :::3000",
        "2026/11/27 09:12:57 listen tcp :3000: bind: address already in use",
        "[Errno 98] error while attempting to bind on address ('0.0.0.0', 3000): address already in use",
        'Address already in use - bind(2) for "0.0.0.0" port 3000 (Errno::EADDRINUSE)',
        "[ERROR] Connection in use: ('0.0.0.0', 3000)",
        "Web server failed to start. Port 3000 was already in use.",
        "    Running Web.Endpoint with Bandit at 0.0.0.0:3000 failed, port 3000 already in use (eaddrinuse)",
    ],
)
def test_app_with_our_own_port_written_into_it(boot: Made, line: str) -> None:
    error = boot("starting", line, "  at server.js:12").exited(1)

    assert f"slot-machine itself holds port 3000: the app must listen on $PORT, which is {PORT}" in str(error)
    assert "$PORT" in error.hint
    assert line in error.output


def test_app_that_does_not_name_the_port_that_is_in_use(boot: Made) -> None:
    error = boot("OSError: [Errno 98] Address already in use").exited(1)

    assert "is in use, and slot-machine itself holds 3000 and 9900: the app must listen on $PORT" in str(error)


def test_app_that_wants_the_port_of_another_program(boot: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slot_machine.host.network.ports.used_by", lambda port: "pid 7 (old)" if port == 5000 else "")

    error = boot("2026-11-27 1234: listen EADDRINUSE: address already in use 127.0.0.1:5000").exited(1)

    assert f"port 5000 is held by pid 7 (old): the app must listen on $PORT, which is {PORT}" in str(error)


@pytest.mark.parametrize("line", ["all is well", "GET / 200 in use of 12 ms", f"EADDRINUSE 0.0.0.0:{PORT}"])
def test_other_ends_say_nothing_of_other_ports(boot: Made, line: str) -> None:
    error = boot(line).exited(3)

    assert str(error) == "the app exited while it booted: exit code 3"
    assert error.hint.startswith("its output is in ")


def nothing_listens(port: int = PORT) -> Unhealthy:
    return Unhealthy(f"not healthy within 1 s: nothing listens on port {port}", None, (port,))


def test_app_that_listens_elsewhere(boot: Made) -> None:
    error = boot(sockets=(of_port(5000), of_port(9229, "127.0.0.1"))).unhealthy(nothing_listens(), Probe(PORT, "/"))

    assert f"the app listens on 5000, 9229, not on {PORT}" in str(error)
    assert "let the app listen on $PORT" in error.hint


def test_app_that_listens_on_an_address_that_is_not_asked(boot: Made) -> None:
    error = boot(sockets=(of_port(PORT, "192.0.2.7"),)).unhealthy(nothing_listens(), Probe(PORT, "/"))

    assert f"the app listens on {PORT} at 192.0.2.7 only, and must do so on 127.0.0.1 or ::1" in str(error)


def test_app_that_lives_on_without_the_port_that_it_wanted(boot: Made) -> None:
    error = boot("Error: listen EADDRINUSE :::3000").unhealthy(nothing_listens(), Probe(PORT, "/"))

    assert "slot-machine itself holds port 3000" in str(error)


def test_app_that_listens_nowhere_may_need_more_time(boot: Made) -> None:
    error = boot().unhealthy(nothing_listens(), Probe(PORT, "/"))

    assert "raise health_timeout_ms" in error.hint


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (Answer(404, "404"), {"health_endpoint"}),
        (Answer(401, "401"), {"health_endpoint"}),
        (Answer(302, "302"), {"health_endpoint", "health_status"}),
        (Answer(302, "302", elsewhere="shop.example"), {"health_endpoint", "health_host"}),
        (Answer(301, "301", elsewhere="https"), {"health_endpoint"}),
        (Answer(400, "400"), {"health_endpoint", "health_host"}),
        (Answer(403, "403"), {"health_endpoint", "health_host"}),
        (Answer(204, "204"), {"health_status"}),
        (Answer(304, "304"), {"health_status"}),
        (Answer(0, "nothing within 5 s"), {"health_timeout_ms"}),
        (Answer(503, "503"), {"health_timeout_ms"}),
        (Answer(500, "500"), set()),
    ],
)
def test_wrong_answer_names_the_fields_that_help(boot: Made, answer: Answer, named: set[str]) -> None:
    unhealthy = Unhealthy("not healthy within 1 s", answer, ())

    error = boot().unhealthy(unhealthy, Probe(PORT, "/"))

    assert {field for field in FIELDS if field in error.hint} == named
    if answer.elsewhere == "https":
        assert "X-Forwarded-Proto" in error.hint


def test_variables_of_the_example_that_are_missing_are_named(boot: Made, tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text("# what it needs\nGIVEN=\nexport MISSING=x\n#COMMENT=1\nLOADED=\nSECOND\n")
    (tmp_path / ".env").write_text("LOADED=1\n")

    error = boot(env={"GIVEN": "1"}).exited(1)

    assert "not set, but in .env.example: MISSING, SECOND;" in error.hint
    assert "not set, but in .env.example" in boot().unhealthy(nothing_listens(), Probe(PORT, "/")).hint


def test_nothing_is_said_of_an_example_that_is_fulfilled_or_cannot_be_read(boot: Made, tmp_path: Path) -> None:
    example = tmp_path / ".env.example"
    example.write_text("A=1\n")
    assert ".env" not in boot(env={"A": ""}).exited(1).hint
    example.unlink()
    os.mkfifo(example)
    assert ".env" not in boot().exited(1).hint
    example.unlink()
    example.write_bytes(b"\xff\xfe\0broken")
    boot().exited(1)


def test_listening_sockets_of_a_run_are_found() -> None:
    class Here:
        pid = os.getpid()

        def members(self) -> list[int]:
            return [self.pid]

    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as two:
        ports = {one.getsockname()[1], two.getsockname()[1]}
        found = {(found.port, str(found.host)) for found in Listeners(Here()).own()}
        assert {(one.getsockname()[1], "127.0.0.1"), (two.getsockname()[1], "::1")} <= found
        assert ports <= {found.port for found in listening()}


@pytest.mark.parametrize(
    "line",
    [
        "A server is already running (pid: 71, file: /srv/.slot-machine/tree-1/tmp/pids/server.pid).",
        "A server is already running. Check /srv/app/tmp/pids/server.pid.",
        "Already running on PID 71 (or pid file 'gunicorn.pid' is stale)",
        "ERROR: Pidfile (celery.pid) already exists.",
    ],
)
def test_pid_file_of_the_live_version_in_a_restart(boot: Made, line: str) -> None:
    assert "`--pid /dev/null`" in boot("starting", line).exited(1).hint
    assert "/dev/null" not in boot("starting", "table users already exists").exited(1).hint
