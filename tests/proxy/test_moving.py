"""Requests that lose their app during a switch: they go to the next one, if they may go out again."""

import socket

import pytest
from spec.waiting import wait_until

from slot_machine.core.upstream import PUBLIC, Address, Counts, Upstream
from slot_machine.proxy.wire import Drained, Forget, Hold, Measure, Route
from tests.proxy.conftest import App, Connection, Plane
from tests.proxy.talk import GET, OK, POST, UPGRADE, answered, served


def in_flight(plane: Plane, reused: bool) -> tuple[App, Connection, Connection]:
    """A request that the old app has, before the switch."""
    if reused:
        app, client, connection = served(plane)
        client.send(GET)
    else:
        app = plane.app()
        client = plane.client(GET)
        connection = app.accept()
    connection.head()
    return app, client, connection


def die(app: App, connection: Connection) -> None:
    app.stop_listening()
    connection.close()


def counted(plane: Plane, app: App) -> Counts:
    counts = plane.do(Forget(app.upstream.run_id)).counts
    assert counts
    return counts


def total_in_flight(plane: Plane) -> int:
    totals = plane.do(Measure()).totals
    assert totals
    return sum(each.in_flight for each in totals.values())


@pytest.mark.parametrize("reused", [True, False])
def test_request_goes_to_the_next_version_when_the_old_one_dies(plane: Plane, reused: bool) -> None:
    old, client, connection = in_flight(plane, reused)
    new = plane.app()
    draining = plane.begin(Drained(old.upstream.run_id))
    assert plane.control_is_silent()

    die(old, connection)

    again = new.accept()
    assert plane.reply().id == draining
    assert total_in_flight(plane) == 1
    answered(again)
    assert client.until(b"ok") == OK
    assert total_in_flight(plane) == 0
    assert counted(plane, old) == Counts(replayed=1)
    assert counted(plane, new) == Counts()


def test_request_of_an_app_that_hangs_goes_to_the_next_version_when_it_is_over(plane: Plane) -> None:
    old, client, _ = in_flight(plane, reused=True)
    new = plane.app()
    assert counted(plane, old) == Counts(replayed=1)
    answered(new.accept())
    assert client.until(b"ok") == OK


@pytest.mark.parametrize("comes", [True, False])
def test_request_waits_for_the_next_version_during_a_hold(plane: Plane, comes: bool) -> None:
    old, client, connection = in_flight(plane, reused=True)
    plane.do(Hold())
    draining = plane.begin(Drained(old.upstream.run_id))
    assert plane.control_is_silent()

    die(old, connection)

    assert plane.reply().id == draining
    assert total_in_flight(plane) == 1
    counts = counted(plane, old)
    assert client.silent()
    if comes:
        new = App(7)
        held = plane.do(Route(new.upstream)).counts
        answered(new.accept())
        assert client.until(b"ok") == OK
        new.close()
    else:
        held = plane.do(Route(None)).counts
        assert client.head().startswith(b"HTTP/1.1 503 ")
    assert held
    assert counts + held == Counts(held=1, refused=not comes)
    assert total_in_flight(plane) == 0


def test_request_goes_out_twice_at_most(plane: Plane) -> None:
    old, client, connection = in_flight(plane, reused=True)
    second = plane.app()
    die(old, connection)
    again = second.accept()
    again.head()
    third = plane.app()

    die(second, again)

    assert client.head().startswith(b"HTTP/1.1 502 ")
    assert third.untouched()
    counts = counted(plane, second)
    assert (counts.replayed, counts.refused) == (0, 1)


@pytest.mark.parametrize(
    ("request_", "mark"),
    [
        (POST, b"hi"),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nhi", b"hi"),
        (UPGRADE, b"\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("forgotten", [True, False])
def test_what_may_not_go_out_again_does_not(plane: Plane, request_: bytes, mark: bytes, forgotten: bool) -> None:
    old = plane.app()
    client = plane.client(request_)
    connection = old.accept()
    connection.until(mark)
    new = plane.app()
    if forgotten:
        assert counted(plane, old).cut == 1
    else:
        die(old, connection)
    assert client.head().startswith(b"HTTP/1.1 502 ")
    assert new.untouched()


def test_request_that_was_answered_in_part_does_not_go_out_again(plane: Plane) -> None:
    old, client, connection = in_flight(plane, reused=True)
    new = plane.app()
    connection.send(b"HTTP/1.1 2")
    die(old, connection)
    assert client.head().startswith(b"HTTP/1.1 502 ")
    assert new.untouched()


def test_request_that_the_old_app_refused_goes_to_the_next_version(plane: Plane) -> None:
    old, client, connection = served(plane)
    die(old, connection)
    new = App(7)
    with plane.suspended():
        client.send(POST)
        plane.begin(Route(new.upstream))
    connection = new.accept()
    connection.until(b"hi")
    connection.send(OK)
    assert client.until(b"ok") == OK
    new.close()


def test_request_whose_connection_to_the_old_app_never_opened_goes_to_the_next_version(plane: Plane) -> None:
    """The queue of the old app is full. What comes of the connection after all is no concern of the request's."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as crowded, socket.socket() as first:
        first.connect(crowded.getsockname())
        old = Upstream(7, "a", {PUBLIC: Address(*crowded.getsockname())})
        plane.do(Route(old))
        client = plane.client(POST)
        wait_until("it is in flight", lambda: total_in_flight(plane) == 1)
        new = plane.app()
        counts = plane.do(Forget(old.run_id)).counts
        assert counts == Counts(replayed=1)
        connection = new.accept()
        connection.until(b"hi")

        crowded.accept()[0].close()
        late = Connection(crowded.accept()[0])
        assert late.rest() == b""
        late.close()

    connection.send(OK)
    assert client.until(b"ok") == OK
