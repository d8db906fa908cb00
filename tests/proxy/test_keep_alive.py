"""Connections to the app: used again while it keeps them, never after."""

import time

import pytest
from spec.waiting import wait_until

from slot_machine.core.upstream import PUBLIC, Address
from slot_machine.proxy import exchange
from slot_machine.proxy.outbound import AppConnection
from slot_machine.proxy.pool import LONGEST_IDLE_S, MARGIN, Pool
from slot_machine.proxy.wire import Forget, Hold, Route
from tests.proxy.conftest import Plane
from tests.proxy.in_memory import Idle, Wire
from tests.proxy.talk import GET, OK, POST, UPGRADE, answered

PROMISE = OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=5\r\n\r\n")


def test_one_connection_for_one_request_after_the_other(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    for _ in range(3):
        answered(connection)
        client.until(b"ok")
        client.send(GET)
    answered(connection)
    client.until(b"ok")
    assert app.untouched()


def test_app_that_says_close_is_not_asked_again_on_that_connection(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    first = app.accept()
    answered(first, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert b"close" not in client.head()
    client.until(b"ok")
    client.send(GET)
    answered(app.accept())
    client.until(b"ok")
    assert first.rest() == b""


@pytest.mark.parametrize("status", [b"200 OK", b"426 Upgrade Required"])
def test_connection_of_an_upgrade_that_was_not_accepted_carries_no_other_request(plane: Plane, status: bytes) -> None:
    """Some servers hand it to a listener for upgrades, and read no request from it any more."""
    app = plane.app()
    client = plane.client(UPGRADE)
    first = app.accept()
    answered(first, OK.replace(b"200 OK", status))
    client.until(b"ok")
    client.send(GET)
    answered(app.accept())
    client.until(b"ok")
    assert first.rest() == b""


def test_bytes_beyond_a_reply_end_the_connection(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    answered(app.accept(), OK + OK)
    assert client.until(b"ok") == OK
    client.send(GET)
    answered(app.accept())
    assert client.until(b"ok") == OK


@pytest.mark.parametrize(
    ("method", "status_and_length"),
    [
        (b"HEAD", b"200 OK\r\nContent-Length: 5"),
        (b"HEAD", b"200 OK\r\nX: y"),
        (b"GET", b"204 No Content\r\nContent-Length: 5"),
        (b"GET", b"304 Not Modified\r\nContent-Length: 5"),
    ],
)
def test_body_where_none_may_be_is_no_reply_to_the_next_request(
    plane: Plane, method: bytes, status_and_length: bytes
) -> None:
    """Some servers send what the app gave them as an answer to HEAD, behind the head and apart from it."""
    app = plane.app()
    client = plane.client(b"%b / HTTP/1.1\r\nHost: h\r\n\r\n" % method)
    first = app.accept()
    answered(first, b"HTTP/1.1 %b\r\n\r\n" % status_and_length)
    client.head()
    client.send(GET)
    answered(app.accept())
    assert client.until(b"ok") == OK
    assert first.rest() == b""


def test_post_is_repeated_never_but_goes_out_where_the_app_promised_to_wait(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    answered(connection, PROMISE)
    client.until(b"ok")

    client.send(POST)
    connection.until(b"hi")
    connection.close()

    assert client.head().startswith(b"HTTP/1.1 502 ")
    assert app.untouched()


def test_posts_leave_one_connection_open_at_most(plane: Plane) -> None:
    app = plane.app()
    client = plane.client()
    connections = []
    for _ in range(3):
        client.send(POST)
        connections.append(app.accept())
        connections[-1].until(b"hi")
        connections[-1].send(OK)
        client.until(b"ok")

    first, *others = connections
    assert [connection.rest() for connection in others] == [b"", b""]
    client.send(GET)
    answered(first)
    client.until(b"ok")
    assert app.untouched()


def test_counts_tell_what_was_replayed_after_the_switch(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    answered(connection)
    for current in (True, False):
        client.until(b"ok")
        client.send(GET)
        connection.head()
        if not current:
            plane.do(Route(None))
        connection.close()
        connection = app.accept()
        answered(connection)
    client.until(b"ok")

    counts = plane.do(Forget(app.upstream.run_id)).counts
    assert counts
    assert counts.replayed == 1


def test_post_that_was_held_goes_by_the_time_that_the_connection_rested(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    answered(app.accept(), PROMISE.replace(b"timeout=5", b"timeout=1"))
    client.until(b"ok")
    too_long_s = time.monotonic() + MARGIN / 2
    plane.do(Hold())
    client.send(POST)
    wait_until("the connection rested too long for a POST", lambda: time.monotonic() > too_long_s)
    plane.do(Route(app.upstream))
    answered(app.accept())
    client.until(b"ok")


def test_connection_that_says_what_nobody_asked_serves_nobody() -> None:
    pool: Pool[exchange.Connection] = Pool(Address(PUBLIC, 1))
    connection = AppConnection(pool)
    connection.connection_made(Wire())
    pool.put(connection, 0.0, 60.0)
    connection.data_received(OK)
    assert pool.take(0.001, True) is None


def test_pool_learns_from_a_promise(idle_fd: int) -> None:
    pool: Pool[Idle] = Pool(Address(PUBLIC, 1))
    connection = Idle(idle_fd)
    pool.put(connection, 0.0, promised_s=5.0)
    assert pool.take(5 * MARGIN + 0.01, True) is None
    assert pool.take(5 * MARGIN - 0.01, True) is connection


def test_pool_learns_from_a_connection_that_the_app_closed(idle_fd: int) -> None:
    pool: Pool[Idle] = Pool(Address(PUBLIC, 1))
    first, second = Idle(idle_fd), Idle(idle_fd)
    pool.put(first, 0.0, None)
    pool.put(second, 1.0, None)
    pool.lost(first, 2.0)
    pool.retire(2.5)
    assert not second.closed
    pool.retire(3.0)
    assert second.closed


def test_pool_retires_what_rests_too_long(idle_fd: int) -> None:
    pool: Pool[Idle] = Pool(Address(PUBLIC, 1))
    connection = Idle(idle_fd)
    pool.put(connection, 0.0, None)
    pool.retire(LONGEST_IDLE_S + 1)
    assert connection.closed


def test_pool_looks_before_it_hands_out(closed_fd: int, idle_fd: int) -> None:
    pool: Pool[Idle] = Pool(Address(PUBLIC, 1))
    dead, alive = Idle(closed_fd), Idle(idle_fd)
    pool.put(alive, 0.0, 60.0)
    pool.put(dead, 0.0, 60.0)
    assert pool.take(1.0, True) is alive
    assert dead.closed


def test_pool_has_nothing_for_a_post_unless_promised(idle_fd: int) -> None:
    pool: Pool[Idle] = Pool(Address(PUBLIC, 1))
    connection = Idle(idle_fd)
    pool.put(connection, 0.0, None)
    assert pool.take(0.0, False) is None
    assert pool.take(0.0, True) is connection
    pool.put(connection, 0.0, 10.0)
    assert pool.take(10 * MARGIN / 2 + 0.01, False) is None
    assert pool.take(10 * MARGIN / 2 - 0.01, False) is connection
