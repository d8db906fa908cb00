"""A client loses its connection only if the reply's head told it so, or at rest; what comes later is still served."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from slot_machine.core.upstream import PUBLIC
from slot_machine.proxy.inbound import ClientConnection
from slot_machine.proxy.wire import Close, Drained, Hold, Op, Retire, Route, Unwind
from tests.proxy.conftest import TIMEOUT_S, App, Connection, Plane
from tests.proxy.conversation import Talk
from tests.proxy.in_memory import Ends, Wire
from tests.proxy.talk import EVENTS, GET, OK, answered, served

GET_LAST = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
HEAD, BODY = OK[:-2], OK[-2:]
LAST = b"\r\nConnection: close\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"
LONG = b"x" * 60_000
LONG_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LONG) + LONG
FEW_BYTES = 4096
NO_SOCKET = -1


def begun(plane: Plane, head: bytes = HEAD) -> tuple[App, Connection, Connection]:
    """A reply whose head went out when nothing was about to change."""
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    answered(connection, head)
    assert LAST not in client.head()
    return app, client, connection


def ends_with_the_next_reply(client: Connection, connection: Connection) -> None:
    answered(connection)
    assert LAST in client.head()
    assert client.rest() == BODY


@pytest.mark.parametrize(
    ("head", "body", "end"),
    [(HEAD, BODY, b"ok"), (CHUNKED, b"0\r\n\r\n", b"0\r\n\r\n"), (UNTIL_CLOSE, b"", b"0\r\n\r\n")],
)
def test_reply_that_began_before_its_worker_retires_leaves_the_connection(
    plane: Plane, head: bytes, body: bytes, end: bytes
) -> None:
    app, client, connection = begun(plane, head)
    plane.do(Retire())
    plane.do(Route(app.upstream))
    connection.send(body)
    connection.close()
    client.until(end)

    client.send(GET)

    ends_with_the_next_reply(client, app.accept())
    assert plane.process.wait(TIMEOUT_S) == 0


def test_client_at_rest_is_told_with_its_next_reply_when_its_worker_retires(plane: Plane) -> None:
    app, client, connection = served(plane)
    plane.do(Retire())
    client.send(GET)
    answered(connection)
    assert LAST in client.head()
    assert client.rest() == BODY
    assert app.untouched()


@pytest.mark.parametrize("change", [Hold(), Route(None), Unwind(1, 0.0)])
def test_reply_that_began_is_no_concern_of_the_switch(plane: Plane, change: Op) -> None:
    app, client, connection = begun(plane)
    plane.do(change)
    connection.send(BODY)
    client.until(BODY)
    plane.do(Drained(app.upstream.run_id))
    new = plane.app()
    client.send(GET)
    answered(new.accept())
    assert LAST not in client.head()


@pytest.mark.parametrize("retires", [True, False])
def test_request_that_came_early_is_served_at_the_end(plane: Plane, retires: bool) -> None:
    app, client, connection = begun(plane)
    client.send(GET)
    plane.do(Retire() if retires else Close())
    connection.send(BODY)
    client.until(BODY)
    ends_with_the_next_reply(client, connection if retires else app.accept())


def test_connection_ends_at_rest_when_the_data_plane_does(plane: Plane) -> None:
    _, client, connection = begun(plane)
    plane.do(Close())
    connection.send(BODY)
    assert client.rest() == BODY


def test_request_that_was_not_read_yet_is_served_at_the_end(plane: Plane) -> None:
    app, client, _ = served(plane)
    with plane.suspended():
        closing = plane.begin(Close())
        client.send(GET)
    assert plane.reply().id == closing
    ends_with_the_next_reply(client, app.accept())


def test_request_that_comes_with_the_end_of_a_reply_is_served_at_the_end(plane: Plane) -> None:
    app, client, connection = begun(plane)
    plane.do(Close())
    with plane.suspended():
        connection.send(BODY)
        client.send(GET)
    client.until(BODY)
    ends_with_the_next_reply(client, app.accept())


def test_limit_of_a_connection_at_rest_ends_none_with_a_request_that_was_not_read_yet() -> None:
    """As after the machine has slept."""

    async def main() -> None:
        plane, wire = Talk([0], []), Wire(os.eventfd(1))
        client = ClientConnection(plane, PUBLIC)
        client.connection_made(wire)
        plane.server.sweep(client.deadline_s + 1)
        assert not wire.closed
        client.data_received(GET)
        await asyncio.sleep(0)
        assert client.exchange

    asyncio.run(main())


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Of one connection: the data plane's and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_limit_of_a_connection_at_rest_holds_for_one_with_empty_lines(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    plane, wire = Talk([0], []), Wire(ours.fileno())
    client = ClientConnection(plane, PUBLIC)
    client.connection_made(wire)
    theirs.send(b"\r\n")
    now_s = client.deadline_s + 1
    plane.server.sweep(now_s)
    assert client.idleness
    assert client.idleness.since_s <= now_s, "it makes way for others as before"
    client.data_received(ours.recv(FEW_BYTES))
    plane.server.sweep(now_s + 1)
    assert wire.closed


@pytest.mark.parametrize(("request_", "asked"), [(GET_LAST, False), (GET.replace(b"1.1", b"1.0"), False), (GET, True)])
def test_kernel_is_not_asked_about_a_short_reply_that_the_client_said_is_the_last(request_: bytes, asked: bool) -> None:
    """That takes a tenth of the CPU of a connection with one request."""

    async def main() -> None:
        ends = Ends()
        ends.closing = asked
        wire = ends.client.transport = Wire(NO_SOCKET)
        ends.client.data_received(request_)
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="descriptor") if asked else nullcontext():
            ends.app.data_received(OK)
        assert wire.closed != asked

    asyncio.run(main())


@pytest.mark.parametrize("retires", [True, False])
def test_last_reply_arrives_whole_though_more_came_with_it(plane: Plane, retires: bool) -> None:
    app = plane.app()
    client = plane.client(GET if retires else GET_LAST, FEW_BYTES)
    connection = app.accept()
    connection.head()
    if retires:
        plane.do(Retire())
    with plane.suspended():
        connection.send(LONG_REPLY)
        client.send(GET)
    assert LAST in client.head()
    assert client.rest() == LONG


def test_last_reply_arrives_whole_though_more_comes_before_it_was_read(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET_LAST, FEW_BYTES)
    connection = app.accept()
    answered(connection, LONG_REPLY)
    plane.client(GET)
    connection.head()
    client.send(GET)
    assert client.rest().endswith(LONG)


def test_last_reply_is_given_up_only_when_its_client_takes_no_more(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    plane, wire = Talk([0], []), Wire(ours.fileno())
    client = ClientConnection(plane, PUBLIC)
    client.connection_made(wire)
    client.data_received(b"nonsense\r\n\r\n")
    for _ in range(3):
        ours.send(LONG)
    for _ in range(2):
        plane.server.sweep(client.deadline_s + 1)
        assert not wire.closed
        theirs.recv(len(LONG))
    for _ in range(2):
        assert not wire.closed
        plane.server.sweep(client.deadline_s + 1)
    assert wire.closed


def test_event_stream_that_ends_with_its_slot_leaves_the_connection(plane: Plane) -> None:
    app, client, _ = begun(plane, EVENTS)
    new = plane.app()
    plane.do(Unwind(app.upstream.run_id, 0.0))
    client.until(b"0\r\n\r\n")
    client.send(GET)
    answered(new.accept())
    assert LAST not in client.head()


def test_worker_that_retires_waits_for_a_client_that_it_has_just_accepted() -> None:
    async def main() -> None:
        plane = Talk([0], [])
        client = ClientConnection(plane, PUBLIC)
        plane.server.retire()
        plane.server.sweep(time.monotonic())
        assert not plane.server.stopped.is_set(), "uvloop has accepted a client and tells so in the next turn"
        client.connection_made(Wire())
        for _ in range(2):
            plane.server.sweep(time.monotonic())
        assert not plane.server.stopped.is_set()
        client.connection_lost(None)
        for _ in range(2):
            plane.server.sweep(time.monotonic())
        assert plane.server.stopped.is_set()

    asyncio.run(main())


@pytest.mark.parametrize("stop", [Hold(), Close()])
def test_idle_connections_of_an_app_that_is_about_to_stop_are_closed(plane: Plane, stop: Op) -> None:
    """Some apps end only when these have."""
    app, client, connection = served(plane)
    client.send(GET)
    connection.head()
    other = plane.client(GET)
    idle = app.accept()
    answered(idle)
    other.until(BODY)

    plane.do(stop)

    assert idle.rest() == b""
    connection.send(OK)
    client.until(BODY)
    assert connection.rest() == b""


def test_connections_are_kept_again_after_a_hold_that_led_back(plane: Plane) -> None:
    app, client, _ = served(plane)
    plane.do(Hold())
    plane.do(Route(app.upstream))
    client.send(GET)
    connection = app.accept()
    for _ in range(2):
        answered(connection)
        client.until(BODY)
        client.send(GET)
    connection.head()
