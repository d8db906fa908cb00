"""Limits of time and memory, as a running data plane keeps them."""

import socket
from pathlib import Path

import pytest

from slot_machine.proxy.wire import Drained, Hold, Limits, Route
from tests.proxy.conftest import Plane, running
from tests.proxy.costs import MEGABYTE_KB, SOON_S, resident_kb
from tests.proxy.talk import GET, OK, answered, websocket, writable


def test_head_that_does_not_end_is_408(tmp_path: Path) -> None:
    with running(tmp_path, Limits(head_s=SOON_S)) as plane:
        assert plane.client(b"GET / HTTP/1.1\r\nHost: h\r\n").rest().startswith(b"HTTP/1.1 408 ")


def test_request_that_was_held_has_the_time_of_others_from_then_on(tmp_path: Path) -> None:
    with running(tmp_path, Limits(response_s=SOON_S)) as plane:
        app = plane.app()
        plane.do(Hold())
        client = plane.client(GET)
        plane.do(Route(app.upstream))
        assert client.head().startswith(b"HTTP/1.1 504 ")


def test_client_that_asks_nothing_is_closed(tmp_path: Path) -> None:
    with running(tmp_path, Limits(idle_s=SOON_S)) as plane:
        app = plane.app()
        silent, kept = plane.client(), plane.client(GET)
        answered(app.accept())
        kept.until(b"ok")
        assert silent.rest() == kept.rest() == b""


def test_request_body_that_stalls_is_408_and_ends_the_claim(tmp_path: Path) -> None:
    with running(tmp_path, Limits(stall_s=SOON_S)) as plane:
        app = plane.app()
        client = plane.client(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe")
        app.accept().until(b"he")
        assert client.rest().startswith(b"HTTP/1.1 408 ")
        plane.do(Drained(app.upstream.run_id))


def test_app_that_takes_its_time_over_a_reply_is_left_alone(tmp_path: Path) -> None:
    with running(tmp_path, Limits(response_s=SOON_S, stall_s=SOON_S, idle_s=SOON_S)) as plane:
        app = plane.app()
        slow = plane.client(GET)
        connection = app.accept()
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        slow.until(b"o")
        assert plane.client().rest() == b"", "the limits have passed for another client"
        connection.send(b"k")
        slow.until(b"k")


def test_no_response_timeout_when_it_is_zero(tmp_path: Path) -> None:
    with running(tmp_path, Limits(response_s=0, idle_s=SOON_S)) as plane:
        app = plane.app()
        client = plane.client(GET)
        connection = app.accept()
        connection.head()
        assert plane.client().rest() == b""
        connection.send(OK)
        client.until(b"ok")


def test_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    with running(tmp_path, Limits(stall_s=SOON_S)) as plane:
        app = plane.app()
        plane.client(GET)
        connection = app.accept()
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        with pytest.raises(ConnectionError):
            connection.send(b"x" * 100_000_000)
        plane.do(Drained(app.upstream.run_id))


def test_slow_reader_of_a_gigabyte_costs_less_than_a_megabyte(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    connection.head()
    before_kb = resident_kb(plane)
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    sent = 0
    for _ in range(4):
        while writable(connection.raw):
            sent += connection.raw.send(b"x" * 1_000_000)
        client.raw.recv(65_536)
    assert sent < 100_000_000
    assert resident_kb(plane) - before_kb < MEGABYTE_KB


def test_app_that_does_not_read_an_upload_makes_the_client_wait(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n")
    app.accept().head()
    before_kb = resident_kb(plane)
    sent = 0
    while writable(client.raw):
        sent += client.raw.send(b"x" * 1_000_000)
    assert sent < 100_000_000
    assert resident_kb(plane) - before_kb < MEGABYTE_KB


@pytest.mark.parametrize("from_app", [True, False])
def test_end_of_a_tunnel_that_does_not_read_makes_the_other_wait(plane: Plane, from_app: bool) -> None:
    client, connection = websocket(plane, plane.app())
    before_kb = resident_kb(plane)
    writer = connection.raw if from_app else client.raw
    reader = client if from_app else connection
    sent = 0
    while writable(writer):
        sent += writer.send(b"x" * 1_000_000)
    assert sent < 100_000_000
    assert resident_kb(plane) - before_kb < MEGABYTE_KB
    writer.shutdown(socket.SHUT_WR)
    assert len(reader.rest()) == sent


def test_endless_pipelining_makes_the_client_wait(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    app.accept().head()
    before_kb = resident_kb(plane)
    while writable(client.raw):
        client.raw.send(GET * 10_000)
    assert resident_kb(plane) - before_kb < MEGABYTE_KB
