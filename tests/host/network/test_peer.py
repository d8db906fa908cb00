"""Whose a connection is."""

import os
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from slot_machine.host.network import peer
from slot_machine.host.network.sockdiag import Address
from tests.users import STRANGER, as_user

CLIENT, SERVER = ("127.0.0.1", 0xA1B2), ("127.0.0.1", 0x238C)
THEIRS = "0100007F:A1B2 0100007F:238C"
OURS = "0100007F:238C 0100007F:A1B2"
MAPPED = "0000000000000000FFFF00000100007F:A1B2 0000000000000000FFFF00000100007F:238C"
CONNECTS = 10_000


class Pair(NamedTuple):
    client: socket.socket
    server: socket.socket

    def uid(self) -> int | None:
        return peer.uid(self.server)


def reusable(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


@pytest.fixture(params=["127.0.0.1", "::ffff:127.0.0.1"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = reusable(socket.AF_INET6 if ":" in request.param else socket.AF_INET)
        client.bind((request.param, 0))
        client.connect((request.param, listener.getsockname()[1]))
        server, _ = listener.accept()
    with client, server:
        yield Pair(client, server)


def test_own_connection(pair: Pair) -> None:
    assert pair.uid() == os.geteuid()


def test_both_sources_know_the_socket(pair: Pair) -> None:
    addresses = pair.server.getpeername(), pair.server.getsockname()
    ours = [peer.Owned(os.geteuid(), os.fstat(pair.client.fileno()).st_ino)]

    assert [found for table in peer.TABLES for found in peer.listed(Path(table), *addresses)] == ours
    try:
        diagnosed = peer.diagnosed(*addresses)
    except OSError:
        pytest.skip("this kernel has no sock_diag(7)")
    assert diagnosed == ours


def refused(*_: object) -> list[peer.Owned]:
    raise OSError


def test_table_will_do_without_sock_diag(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    monkeypatch.setattr(peer, "diagnosed", refused)

    assert pair.uid() == os.geteuid()


def test_row_that_the_table_leaves_out_or_has_twice_is_read(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    mine = peer.Owned(os.geteuid(), 1)
    reads = iter([[], [], [mine, mine], []])
    monkeypatch.setattr(peer, "diagnosed", refused)
    monkeypatch.setattr(peer, "listed", lambda *_: next(reads))

    assert pair.uid() == os.geteuid()


def test_kernel_that_tells_nothing_is_asked_in_vain(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    for source in ("diagnosed", "listed"):
        monkeypatch.setattr(peer, source, refused)

    assert pair.uid() is None


@pytest.mark.parametrize("how", ["close", "half"])
def test_client_that_has_sent_its_end_is_nobodys(pair: Pair, how: str) -> None:
    if how == "close":
        pair.client.close()
    else:
        pair.client.shutdown(socket.SHUT_WR)
    assert pair.server.recv(1) == b""

    assert pair.uid() is None
    assert peer.sockets(pair.server.getpeername(), pair.server.getsockname()) == []


def test_client_that_has_the_port_next_is_not_taken_for_the_one_before(
    monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    address, port = pair.server.getpeername(), pair.server.getsockname()
    sockets = peer.sockets
    with reusable() as listener, reusable() as successor:
        listener.bind(port)
        listener.listen()

        def passed_on(*addresses: Address) -> list[peer.Owned]:
            pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            pair.client.close()
            successor.bind(address)
            successor.connect(port)
            return sockets(*addresses)

        monkeypatch.setattr(peer, "sockets", passed_on)
        assert pair.uid() is None
        assert peer.owner(sockets(address, port)) == os.geteuid()


def row(addresses: str, state: str = "01", uid: int = 1000, inode: int = 4711) -> str:
    return (
        f"   7: {addresses} {state} 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 0 20 4 30 10 -1\n"
    )


@pytest.mark.parametrize(
    ("tcp", "tcp6", "uid"),
    [
        ([row(THEIRS)], [], 1000),
        ([row(OURS, uid=0), row(THEIRS)], [], 1000),
        ([], [row(MAPPED)], 1000),
        ([], [], None),
        ([row(OURS, uid=0)], [], None),
        ([row(THEIRS, state="06", uid=0, inode=0)], [], None),
        ([row(THEIRS, state="05", uid=0, inode=0)], [], None),
        ([row(THEIRS, state="04", uid=0)], [], None),
        ([row(THEIRS, state="02", uid=0)], [], None),
        ([row(THEIRS, uid=0, inode=0)], [], None),
        ([row(THEIRS), row(THEIRS, uid=0, inode=0)], [], None),
        ([row(THEIRS), row(THEIRS, uid=0, inode=4712)], [], None),
        ([row(THEIRS)], [row(MAPPED, uid=0, inode=4712)], None),
        ([row(THEIRS, uid=65_534)], [], None),
        ([row(THEIRS.replace("A1B2", "A1B3"), uid=0)], [], None),
        ([row(THEIRS.replace("0100007F:238C", "0200007F:238C"), uid=0)], [], None),
    ],
)
def test_only_one_established_socket_with_these_addresses_counts(
    tmp_path: Path, tcp: list[str], tcp6: list[str], uid: int | None
) -> None:
    tables = tmp_path / "tcp", tmp_path / "tcp6"
    for path, rows in zip(tables, (tcp, tcp6), strict=True):
        path.write_text("  sl  local_address rem_address   st ...\n" + "".join(rows))

    assert peer.owner([found for table in tables for found in peer.listed(table, CLIENT, SERVER)]) == uid


HASTY = """
import random, socket, struct, sys
port, connects = map(int, sys.argv[1:])
for number in range(connects):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if number % 20:  # The others leave a TIME_WAIT behind, in which their port can't be used again.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.bind(("127.0.0.1", 15_000 + number % 7))
    client.connect(("127.0.0.1", port))
    client.send(b"POST")
    client.close()
"""


def test_hasty_connections_of_another_user_are_never_ours() -> None:
    """They send and close at once, on few ports, so that the kernel's table says the strangest of them."""
    found: Counter[int | None] = Counter()
    with socket.create_server(("127.0.0.1", 0), backlog=CONNECTS) as listener:
        port = listener.getsockname()[1]
        command = as_user(STRANGER, sys.executable, "-ISc", HASTY, str(port), str(CONNECTS))
        with subprocess.Popen(command) as client:
            for _ in range(CONNECTS):
                server, _ = listener.accept()
                with server:
                    found[peer.uid(server)] += 1
    assert client.returncode == 0
    assert set(found) <= {None, STRANGER}
