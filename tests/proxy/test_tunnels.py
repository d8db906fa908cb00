"""Tunnels whose ends leave or do not read: what they held is given back, and no byte of those that read is lost."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.proxy.wire import Limits, Unwind
from tests.proxy.conftest import Plane, running
from tests.proxy.talk import HELLO, websocket, writable

SOON_S = 0.1
LATER_S = 0.5
AT_ONCE_S = 0.02
FLOOD = b"x" * 1_000_000
PIECE = 20_000


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Plane]:
    """A data plane that waits for nobody."""
    with running(tmp_path, Limits(stall_s=SOON_S)) as plane:
        yield plane


def files(plane: Plane) -> int:
    return len(os.listdir(f"/proc/{plane.process.pid}/fd"))


def fill(raw: socket.socket) -> int:
    """Sends as much as the other side's buffers take."""
    sent = 0
    while writable(raw, AT_ONCE_S):
        sent += raw.send(FLOOD)
    return sent


def all_given_back(plane: Plane, before: int) -> None:
    wait_until("the descriptors are back", lambda: files(plane) == before)


@pytest.mark.parametrize("much", [True, False])
def test_client_that_leaves_while_the_app_does_not_read(hasty: Plane, much: bool) -> None:
    app, before = hasty.app(), files(hasty)
    for _ in range(3):
        client, _ = websocket(hasty, app)
        if much:
            fill(client.raw)
        else:
            client.send(HELLO)
        client.close()
    all_given_back(hasty, before)


def test_client_that_is_ended_with_its_slot_while_the_app_does_not_read(hasty: Plane) -> None:
    app, before = hasty.app(), files(hasty)
    client, _ = websocket(hasty, app)
    fill(client.raw)
    hasty.do(Unwind(app.upstream.run_id, 0.0))
    client.rest()
    client.close()
    all_given_back(hasty, before)


@pytest.mark.parametrize("leaves", [True, False])
def test_app_that_writes_to_a_client_that_does_not_read(hasty: Plane, leaves: bool) -> None:
    app, before = hasty.app(), files(hasty)
    client, connection = websocket(hasty, app)
    fill(connection.raw)
    if leaves:
        connection.close()
    all_given_back(hasty, before)
    client.close()


def test_app_that_leaves_while_its_client_does_not(hasty: Plane) -> None:
    app, before = hasty.app(), files(hasty)
    _, connection = websocket(hasty, app)
    connection.close()
    all_given_back(hasty, before)


def test_tunnel_that_is_silent_is_left_alone(hasty: Plane) -> None:
    app = hasty.app()
    client, connection = websocket(hasty, app)
    before = files(hasty)
    websocket(hasty, app)[0].close()
    all_given_back(hasty, before)
    client.send(HELLO)
    connection.until(HELLO)


@pytest.mark.parametrize(("from_app", "leaves"), [(False, True), (False, False), (True, False)])
def test_end_that_reads_slowly_gets_all(tmp_path: Path, from_app: bool, leaves: bool) -> None:
    with running(tmp_path, Limits(stall_s=LATER_S)) as plane:
        app = plane.app()
        client, connection = websocket(plane, app)
        writer, reader = (connection, client) if from_app else (client, connection)
        left = fill(writer.raw)
        if leaves:
            writer.raw.shutdown(socket.SHUT_WR)
        before = files(plane)

        def read(most: int) -> int:
            nonlocal left
            piece = reader.raw.recv(min(left, most))
            assert piece, f"{left} bytes are missing"
            left -= len(piece)
            return left

        websocket(plane, app)[0].close()
        wait_until(
            "the limit has passed for another one", lambda: read(min(PIECE, left // 2)) and files(plane) == before
        )
        while left:
            read(left)
