"""Which ports an app can have."""

import random
import socket
import subprocess
import sys
from contextlib import ExitStack, closing

import pytest
from spec.ports import free_port

from slot_machine.core.errors import StartRefused
from slot_machine.host.network import ports


def bound(host: str, port: int, *, reuse: bool = True, only_ipv6: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "127.0.0.5"])
def test_port_to_which_somebody_is_bound_is_not_free(host: str, reuse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, other = free_port(), free_port()
    drawn = iter([taken, other])
    monkeypatch.setattr(random, "randrange", lambda *_: next(drawn))

    with closing(bound(host, taken, reuse=reuse)):
        assert not ports.is_free(taken)
        assert ports.fresh(set()) == other
    assert ports.is_free(taken)


@pytest.fixture
def lingering() -> int:
    """A port with a connection in TIME_WAIT, as after the end of an app that closed its connections."""
    port = free_port()
    with ExitStack() as stack:
        server = stack.enter_context(closing(bound("127.0.0.1", port)))
        server.listen()
        client = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
        server.accept()[0].close()
        assert client.recv(1) == b""
    with pytest.raises(OSError, match="in use"):
        bound("127.0.0.1", port, reuse=False)
    return port


def test_port_on_which_only_connections_linger_is_free(lingering: int) -> None:
    assert ports.is_free(lingering)


def test_port_on_which_connections_linger_and_somebody_listens_is_not_free(lingering: int) -> None:
    with closing(bound("127.0.0.1", lingering)) as listener:
        listener.listen()
        assert not ports.is_free(lingering)


def test_daemon_that_finds_another_listening_beside_it_is_told_by_whom() -> None:
    port = free_port()
    program = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); print(flush=True); input()"
    )
    listener = ports.bind_public(port)
    argv = [sys.executable, "-ISc", program, str(port)]
    with closing(listener), subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        try:
            with pytest.raises(StartRefused, match=f"in use by pid {other.pid} "):
                ports.listen(listener)
        finally:
            other.kill()


def test_port_that_was_tried_in_vain_is_named_with_its_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr(random, "randrange", lambda *_: port)
    monkeypatch.setattr(ports, "used_by", lambda tried: f"pid 7 (other {tried})")
    with (
        closing(bound("127.0.0.1", port)),
        pytest.raises(OSError, match=rf"no free port .*; {port}, .* is held by pid 7 \(other {port}\)"),
    ):
        ports.fresh(set())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "0.0.0.0", ""])
def test_public_port_is_bound_to_one_address(address: str) -> None:
    with closing(ports.bind_public(free_port(), address)) as listener:
        assert ports.is_at(listener, address)
        assert ports.is_at(listener, "") == (address in ("", "0.0.0.0"))
        assert not ports.is_at(listener, "127.0.0.2")


def test_address_that_the_machine_does_not_have() -> None:
    with pytest.raises(StartRefused, match="cannot listen on 192\\.0\\.2\\.1, port ") as refused:
        ports.bind_public(free_port(), "192.0.2.1")
    assert refused.value.hint == "name an address of this machine in `bind`"
