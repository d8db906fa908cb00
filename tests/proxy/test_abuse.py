"""Clients that take what they can get: the others are served, and it costs what it may cost."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.proxy.wire import Hold, Limits, Measure, Route
from tests.proxy.conftest import Connection, Plane, running
from tests.proxy.costs import MEGABYTE_KB, resident_kb
from tests.proxy.talk import GET, answered, writable

FILES = 128
MOST_PLACES = FILES * 3 // 4
MOST_HELD = FILES // 4
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
IDLE_CLIENTS = 2000
MOST_KB_PER_CLIENT = 16
SLOW_CLIENTS = 200
MOST_EARLY_KB = 80


def clients_of(plane: Plane) -> int:
    return plane.do(Measure()).clients


def open_ones(clients: list[Connection]) -> int:
    return sum(client.open() for client in clients)


def test_clients_that_ask_nothing_make_way_for_others_when_all_places_are_taken(tmp_path: Path) -> None:
    with running(tmp_path, open_files=FILES) as plane:
        app = plane.app()
        busy = plane.client(POST)
        in_flight = app.accept()
        begun = plane.client(GET + b"GET / HTTP/1.1\r\n")
        answered(app.accept())
        begun.until(b"ok")
        older = [plane.client() for _ in range(MOST_PLACES // 2)]
        wait_until("the older ones are connected", lambda: clients_of(plane) == len([busy, begun, *older]))
        newer = [plane.client() for _ in range(2 * FILES)]
        stay = MOST_PLACES - len([busy, begun, in_flight])
        assert all(client.rest() == b"" for client in older)
        wait_until("all places are taken by newer ones", lambda: open_ones(newer) == stay)
        assert clients_of(plane) == MOST_PLACES - len([in_flight])

        assert_at_rest(plane)
        begun.send(b"Host: h\r\n\r\n")
        answered(in_flight)
        answered(app.accept())
        for client in (busy, begun):
            client.until(b"ok")
        served(plane, app.accept)
        assert open_ones(newer) >= stay - 2


@pytest.mark.parametrize("asked", [GET, POST])
def test_connections_to_the_app_keep_no_newcomer_out(tmp_path: Path, asked: bytes) -> None:
    with running(tmp_path, open_files=FILES) as plane:
        app = plane.app()
        clients = [plane.client(asked) for _ in range(MOST_PLACES // 2 - 1)]
        for connection in [app.accept() for _ in clients]:
            answered(connection)
        for client in clients:
            client.until(b"ok")
        for _ in range(FILES):
            plane.client()
        served(plane, app.accept)


def test_idle_connections_to_the_app_make_way_before_clients(tmp_path: Path) -> None:
    with running(tmp_path, open_files=FILES) as plane:
        app = plane.app()
        asked = [plane.client(GET) for _ in range(MOST_PLACES // 3)]
        for connection in [app.accept() for _ in asked]:
            answered(connection)
        for client in asked:
            client.until(b"ok")
        silent = [plane.client() for _ in range(MOST_PLACES // 2)]
        wait_until("all are connected", lambda: clients_of(plane) == len(asked) + len(silent))


def test_clients_make_way_for_the_connections_that_requests_need(tmp_path: Path) -> None:
    with running(tmp_path, open_files=FILES) as plane:
        app = plane.app()
        for _ in range(FILES):
            plane.client()
        asking = [plane.client() for _ in range(MOST_PLACES // 2 - 1)]
        for client in asking:
            client.send(POST)
        for _ in asking:
            answered(app.accept())
        assert all(client.until(b"ok").startswith(b"HTTP/1.1 200 ") for client in asking)


def test_no_more_requests_are_held_than_there_can_be_connections_to_the_app(tmp_path: Path) -> None:
    with running(tmp_path, open_files=2 * FILES) as plane:
        app = plane.app()
        plane.do(Hold())
        clients = [plane.client(GET) for _ in range(2 * MOST_PLACES)]
        wait_until("the others are refused", lambda: sum(map(Connection.silent, clients)) == MOST_HELD)
        held = [client for client in clients if client.silent()]
        assert all(client in held or client.head().startswith(b"HTTP/1.1 503 ") for client in clients)

        plane.do(Route(app.upstream))

        for _ in held:
            answered(app.accept())
        assert all(client.until(b"ok").startswith(b"HTTP/1.1 200 ") for client in held)


def test_what_came_early_is_bounded_for_each_request_in_flight(plane: Plane) -> None:
    app = plane.app()
    clients = [plane.client(GET) for _ in range(SLOW_CLIENTS)]
    for _ in clients:
        app.accept().head()
    before_kb = resident_kb(plane)
    for client in clients:
        while writable(client.raw, 0.0):
            client.raw.send(GET * 10_000)
    assert_at_rest(plane)
    assert resident_kb(plane) - before_kb < SLOW_CLIENTS * MOST_EARLY_KB


def test_thousands_of_idle_clients(plane: Plane) -> None:
    app = plane.app()
    before_kb = resident_kb(plane)
    for _ in range(IDLE_CLIENTS):
        plane.client()
    wait_until("all are accepted", lambda: clients_of(plane) == IDLE_CLIENTS)

    assert resident_kb(plane) - before_kb < IDLE_CLIENTS * MOST_KB_PER_CLIENT
    assert_at_rest(plane)
    served(plane, app.accept)


def test_heads_that_come_byte_by_byte_are_408_while_others_are_served(tmp_path: Path) -> None:
    with running(tmp_path, Limits(head_s=1)) as plane:
        app = plane.app()
        before_kb = resident_kb(plane)
        slow = [plane.client(b"GET / HTTP/1.1\r\nX: ") for _ in range(SLOW_CLIENTS)]
        served(plane, app.accept)
        trickle(slow)
        assert all(client.rest().startswith(b"HTTP/1.1 408 ") for client in slow)
        assert resident_kb(plane) - before_kb < 8 * MEGABYTE_KB


def trickle(clients: list[Connection]) -> None:
    """A byte to each, until the first is answered."""
    while clients[0].silent():
        for client in clients[1:]:
            if client.silent():
                client.send(b"x")
        clients[0].send(b"x")


def served(plane: Plane, accept: Callable[[], Connection]) -> None:
    client = plane.client(POST)
    answered(accept())
    client.until(b"ok")


def assert_at_rest(plane: Plane) -> None:
    """Not for a condition: it has time to spin."""
    before_s = cpu_s(plane)
    time.sleep(0.5)
    assert cpu_s(plane) - before_s < 0.25


def cpu_s(plane: Plane) -> float:
    fields = Path(f"/proc/{plane.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
