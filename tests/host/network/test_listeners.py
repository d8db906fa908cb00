"""Whose the sockets are that a connection to an app's port reaches."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from spec.ports import free_port

from slot_machine.host.network import listeners, sockdiag
from slot_machine.host.network.listeners import Foreign, Listeners
from slot_machine.host.process import proc
from slot_machine.host.process.containment import MARK
from tests.users import CAN_BE_NOBODY, NOBODY, PYTHON

PROGRAM = """
import socket, sys, time
host, port, option, listens, name = sys.argv[1:]
sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
if ":" in host:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, name == "only IPv6")
sock.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
sock.bind((host, int(port)))
if listens == "True":
    sock.listen()
print("ready", flush=True)
time.sleep(600)
"""
came_of = listeners._came_of
as_root = pytest.mark.skipif(not CAN_BE_NOBODY, reason="takes root to be another user")


class Machine:
    """Programs with one socket each, on one port."""

    def __init__(self, stack: ExitStack) -> None:
        self.port = free_port()
        self._stack = stack

    def program(
        self,
        host: str = "127.0.0.1",
        option: str = "SO_REUSEPORT",
        *,
        listens: bool = True,
        name: str = "",
        user: int | None = None,
        mark: str = "",
        program: str = PROGRAM,
    ) -> int:
        """Returns its process id."""
        argv = [PYTHON, "-ISc", program, host, str(self.port), option, str(listens), name]
        env = os.environ | ({MARK: mark} if mark else {})
        process = self._stack.enter_context(
            subprocess.Popen(argv, stdout=subprocess.PIPE, user=user, env=env, cwd="/", start_new_session=True)
        )
        self._stack.callback(process.kill)
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        return process.pid


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """As if its programs were not this one's children."""
    monkeypatch.setattr(listeners, "_came_of", lambda *_: False)
    with ExitStack() as stack:
        yield Machine(stack)


class App:
    """What came of a start: its leader, and those that are found by other means."""

    def __init__(self, pid: int, *others: int) -> None:
        self.pid = pid
        self._others = others

    def members(self) -> list[int]:
        return [self.pid, *self._others]


def test_socket_of_the_apps_is_its_own(machine: Machine) -> None:
    of_app = Listeners(App(machine.program()))

    assert len(of_app.at("127.0.0.1", machine.port)) == 1
    assert of_app.at("::1", machine.port) == set()
    assert of_app.doubts == []


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_socket_beside_the_apps_own_is_refused(machine: Machine, host: str) -> None:
    """By the same user, as the kernel lets no other one share a port."""
    of_app = Listeners(App(machine.program("0.0.0.0")))
    assert of_app.at("127.0.0.1", machine.port)
    other = machine.program(host)

    with pytest.raises(Foreign, match=rf"pid {other} .* of uid {os.geteuid()} listens on .*:{machine.port}"):
        of_app.at("127.0.0.1", machine.port)


@pytest.mark.parametrize(("host", "name"), [("::1", ""), ("::", "only IPv6"), ("127.0.0.2", "")])
def test_socket_that_the_connection_does_not_reach_does_not_matter(machine: Machine, host: str, name: str) -> None:
    of_app = Listeners(App(machine.program("127.0.0.1")))
    machine.program(host, name=name)

    assert len(of_app.at("127.0.0.1", machine.port)) == 1


@pytest.mark.parametrize("host", ["::ffff:127.0.0.1", "::", "127.0.0.1", "0.0.0.0"])
def test_every_address_that_the_connection_reaches_is_looked_at(machine: Machine, host: str) -> None:
    other = machine.program(host)

    with pytest.raises(Foreign, match=f"pid {other} "):
        Listeners(App(os.getpid() + 10**6)).at("127.0.0.1", machine.port)


def test_program_that_is_bound_and_does_not_listen_yet_is_found_where_it_is_looked_for(machine: Machine) -> None:
    of_app = Listeners(App(machine.program(option="SO_REUSEADDR", listens=False)))
    if not of_app.at("127.0.0.1", machine.port, (sockdiag.BOUND,)):
        pytest.skip("this kernel does not list such sockets")
    other = machine.program(option="SO_REUSEADDR", listens=False)

    assert of_app.at("127.0.0.1", machine.port) == set()
    with pytest.raises(Foreign, match=f"pid {other} .* is bound to"):
        of_app.at("127.0.0.1", machine.port, (sockdiag.BOUND,))


@as_root
def test_socket_of_another_user_is_told_by_its_uid_where_descriptors_cannot_be_read(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = machine.program("::1")
    machine.program("127.0.0.1", user=NOBODY)
    unreadable(monkeypatch)

    with pytest.raises(Foreign, match=f"a process of uid {NOBODY} listens") as refused:
        Listeners(App(app)).at("127.0.0.1", machine.port)
    assert "ss -ltnp" in refused.value.hint


@as_root
def test_other_user_inside_the_app_is_a_doubt(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    app = machine.program("127.0.0.1", user=NOBODY)
    unreadable(monkeypatch)
    of_app = Listeners(App(app))

    assert len(of_app.at("127.0.0.1", machine.port)) == 1
    assert len(of_app.at("127.0.0.1", machine.port)) == 1

    (doubt,) = of_app.doubts
    assert f"port {machine.port}" in doubt
    assert f"uid {NOBODY}" in doubt


@as_root
def test_member_of_the_apps_that_cannot_be_seen_is_a_doubt(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with hidepid: it may be of any user."""
    app = machine.program("127.0.0.1", user=NOBODY)
    unreadable(monkeypatch)
    monkeypatch.setattr(proc, "uids", lambda _: set())
    monkeypatch.setattr(proc, "may_signal", lambda pid: pid != app)
    of_app = Listeners(App(app))

    assert of_app.at("127.0.0.1", machine.port)
    assert len(of_app.doubts) == 1


def test_process_that_left_the_app_is_a_doubt(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came of this daemon, though it bears no mark."""
    left = machine.program()
    of_app = Listeners(App(os.getpid() + 10**6))
    monkeypatch.setattr(listeners, "_came_of", came_of)

    assert of_app.at("127.0.0.1", machine.port)

    assert f"process {left} " in of_app.doubts[0]


def test_run_of_another_version_is_refused_but_where_they_share_the_port(machine: Machine) -> None:
    app, other = machine.program(), machine.program(mark="whose-2")

    assert len(Listeners(App(app), ("whose-",)).at("127.0.0.1", machine.port)) == 2
    with pytest.raises(Foreign, match=f"pid {other} "):
        Listeners(App(app)).at("127.0.0.1", machine.port)


@as_root
def test_mark_of_another_version_is_no_use_to_another_user(machine: Machine) -> None:
    """The beginning of a mark can be guessed."""
    other = machine.program(mark="whose-2", user=NOBODY)

    with pytest.raises(Foreign, match=f"pid {other} "):
        Listeners(App(os.getpid() + 10**6), ("whose-",)).at("127.0.0.1", machine.port)


@pytest.mark.parametrize("readable", [True, False])
def test_port_that_a_container_publishes_is_a_doubt(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, readable: bool
) -> None:
    proxy = machine.program()
    command = f"/usr/bin/docker-proxy -proto tcp -host-ip 127.0.0.1 -host-port {machine.port}"
    monkeypatch.setattr(proc, "command_line", lambda pid: command if pid == proxy else "")
    if not readable:
        unreadable(monkeypatch)
    of_app = Listeners(App(os.getpid() + 10**6))

    assert of_app.at("127.0.0.1", machine.port)

    assert f"process {proxy} (/usr/bin/docker-proxy" in of_app.doubts[0]


def test_what_answers_without_a_socket_is_a_doubt(machine: Machine) -> None:
    """As where packets are redirected."""
    of_app = Listeners(App(os.getpid()))

    assert of_app.answered("127.0.0.1", machine.port) == set()

    assert "lists no socket" in of_app.doubts[0]


def test_kernel_that_lists_no_sockets_is_a_doubt(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> list[sockdiag.SocketInfo]:
        raise OSError("sock_diag: No such file or directory")

    monkeypatch.setattr(sockdiag, "of_port", refuses)
    of_app = Listeners(App(os.getpid()))

    assert of_app.answered("127.0.0.1", machine.port) == set()

    assert len(of_app.doubts) == 1


def test_socket_is_looked_up_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    of_app = Listeners(App(machine.program()))
    of_app.at("127.0.0.1", machine.port)
    unreadable(monkeypatch)

    assert of_app.at("127.0.0.1", machine.port)
    assert of_app.doubts == []


def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's descriptors can be read."""
    monkeypatch.setattr(proc, "open_files", lambda _: iter(()))
