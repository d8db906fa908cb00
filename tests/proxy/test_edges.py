"""Clients and apps that close, stall or send at the wrong moment."""

import socket
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.proxy.wire import Drained, Forget, Limits, Measure, Route
from tests.proxy.conftest import Connection, Plane, running
from tests.proxy.costs import SOON_S, resident_kb
from tests.proxy.talk import GET, OK, RESET, answered, websocket, writable

UPLOAD = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n"

PIPELINED = 40_000
"""Requests whose replies are more than all buffers hold."""

STARVED_S = 1.0
"""Longer than a busy machine keeps this process from sending."""


def pushed(connection: Connection, data: bytes, within_s: float = 0.1) -> bytes:
    """Sends until the other side takes no more, and returns what is left."""
    connection.raw.setblocking(False)
    while data and writable(connection.raw, within_s):
        data = data[connection.raw.send(data) :]
    connection.raw.settimeout(10)
    return data


def time_passes(plane: Plane) -> None:
    """Until a client that is too slow with its body is refused, as another one might be."""
    assert plane.client(UPLOAD).rest().startswith(b"HTTP/1.1 408 ")


def test_tunnel_that_both_sides_closed_is_over(plane: Plane) -> None:
    app = plane.app()
    client, connection = websocket(plane, app)
    client.raw.shutdown(socket.SHUT_WR)
    assert connection.rest() == b""
    connection.send(b"\x81\x01x")
    connection.close()
    assert client.rest() == b"\x81\x01x"
    wait_until("the client is gone", lambda: plane.do(Measure()).clients == 0)
    plane.do(Drained(app.upstream.run_id))


def test_pipelining_costs_bounded_memory(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    before_kb = resident_kb(plane)
    for _ in range(10):
        pushed(client, GET * 100_000, 0.05)
        connection.head()
        connection.send(OK)
        client.until(b"ok")
    assert resident_kb(plane) - before_kb < 10_000


@pytest.mark.parametrize("after", [b"keep-alive", b"close"])
def test_client_that_never_reads_its_reply_is_cut_off(tmp_path: Path, after: bytes) -> None:
    """Whatever part of a reply it is that waits in the proxy."""
    with running(tmp_path, Limits(idle_s=SOON_S, stall_s=SOON_S)) as plane:
        app = plane.app()
        for size in range(2_000_000, 4_200_000, 100_000):
            plane.client(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: %b\r\n\r\n" % after)
            connection = app.accept()
            connection.head()
            connection.raw.setblocking(False)
            data = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
            while data and writable(connection.raw, 0.05):
                try:
                    data = data[connection.raw.send(data) :]
                except ConnectionError:
                    break
        wait_until("all are cut off", lambda: plane.do(Measure()).clients == 0)


def test_client_is_not_blamed_for_an_app_that_does_not_read(tmp_path: Path) -> None:
    with running(tmp_path, Limits(stall_s=STARVED_S)) as plane:
        app = plane.app()
        client = plane.client(UPLOAD)
        app.accept()
        pushed(client, b"x" * 50_000_000, STARVED_S / 2)
        time_passes(plane)
        assert client.silent()


def test_client_is_not_blamed_for_an_app_that_is_slow_to_say_continue(tmp_path: Path) -> None:
    with running(tmp_path, Limits(stall_s=SOON_S)) as plane:
        app = plane.app()
        client = plane.client(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        connection = app.accept()
        connection.head()
        time_passes(plane)
        assert client.silent()
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_pipelining_is_bounded_where_replies_are_not_read(plane: Plane) -> None:
    client = plane.client()
    plane.client(GET).head()
    before_kb = resident_kb(plane)
    pushed(client, GET * 600_000)
    assert resident_kb(plane) - before_kb < 10_000
    assert plane.client(GET).head().startswith(b"HTTP/1.1 503 ")


def test_pipelined_requests_are_all_answered_once_the_client_reads(plane: Plane) -> None:
    client = plane.client()
    unsent = pushed(client, GET * PIPELINED)
    answers = 0
    while answers < PIPELINED:
        client.until(b"\r\nRetry-After: ")
        answers += 1
        if unsent and writable(client.raw, 0):
            unsent = unsent[client.raw.send(unsent) :]


def test_empty_lines_that_come_early_do_not_stop_a_client(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    connection.head()
    pushed(client, b"\r\n" * 40_000)
    connection.send(OK)
    client.until(b"ok")
    client.send(GET)
    answered(connection)
    client.until(b"ok")


def test_head_limit_holds_for_a_beginning_behind_another_request(tmp_path: Path) -> None:
    with running(tmp_path, Limits(head_s=SOON_S)) as plane:
        app = plane.app()
        client = plane.client(GET + b"GET / HTTP/1.1\r\nHo")
        connection = app.accept()
        connection.head()
        connection.send(OK)
        client.until(b"ok")
        assert client.head().startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("request_bytes", [GET * 20_000, UPLOAD + b"x" * 50_000_000])
def test_client_that_leaves_while_it_is_not_read_cancels_its_request(plane: Plane, request_bytes: bytes) -> None:
    app = plane.app()
    client = plane.client()
    pushed(client, request_bytes)
    connection = app.accept()
    client.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    plane.do(Drained(app.upstream.run_id))
    connection.rest()


def test_request_that_is_cut_before_its_reply_is_not_finished(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    app.accept().head()
    plane.do(Route(None))
    counts = plane.do(Forget(app.upstream.run_id)).counts
    assert client.head().startswith(b"HTTP/1.1 502 ")
    assert counts
    assert (counts.finished, counts.cut) == (0, 1)


def test_one_connection_that_the_app_closed_early_does_not_end_reuse(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    for _ in range(2):
        connection = app.accept()
        connection.head()
        connection.send(OK)
        client.until(b"ok")
        connection.close()
        client.send(GET)
    connection = app.accept()
    for _ in range(3):
        connection.head()
        connection.send(OK)
        client.until(b"ok")
        client.send(GET)
    connection.head()
