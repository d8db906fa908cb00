"""What never ends by itself: WebSockets and event streams, from the switch to the end of their slot."""

import select
import time
from collections.abc import Callable

import pytest

from slot_machine.core.upstream import Counts
from slot_machine.proxy.websocket import GOING_AWAY
from slot_machine.proxy.wire import Drained, Forget, Route, Unwind
from tests.proxy.conftest import TIMEOUT_S, App, Connection, Plane
from tests.proxy.talk import EVENTS, GET, HELLO, SWITCHED, UPGRADE, websocket

EVENT = b"9\r\ndata: 1\n\n\r\n"
Open = Callable[[Plane, App], tuple[Connection, Connection]]


def events(plane: Plane, app: App) -> tuple[Connection, Connection]:
    client = plane.client(GET)
    connection = app.accept()
    connection.head()
    connection.send(EVENTS + EVENT)
    client.until(EVENT)
    return client, connection


def counts(plane: Plane, app: App) -> Counts:
    found = plane.do(Forget(app.upstream.run_id)).counts
    assert found
    return found


def test_websocket_goes_on_after_the_switch_and_is_told_when_its_slot_stops(plane: Plane) -> None:
    app = plane.app()
    client, connection = websocket(plane, app)
    plane.do(Route(None))
    client.send(HELLO)
    connection.until(HELLO)
    connection.send(HELLO)
    client.until(HELLO)

    plane.do(Unwind(app.upstream.run_id, 0.05))

    assert client.until(GOING_AWAY) == GOING_AWAY
    assert connection.rest() == b""
    plane.do(Drained(app.upstream.run_id))
    found = counts(plane, app)
    assert (found.cut, found.cut_streams) == (1, 1)


def test_websocket_is_told_though_its_app_dies_at_once(plane: Plane) -> None:
    app = plane.app()
    client, connection = websocket(plane, app)
    plane.do(Route(None))
    plane.do(Unwind(app.upstream.run_id, 0.2))
    connection.close()
    plane.do(Drained(app.upstream.run_id))
    found = counts(plane, app)
    assert (found.cut, found.cut_streams) == (1, 1)
    assert client.rest() == GOING_AWAY


@pytest.mark.parametrize(("open_stream", "ending"), [(websocket, GOING_AWAY), (events, b"0\r\n\r\n")])
def test_stream_is_told_though_its_app_dies_before_the_order(plane: Plane, open_stream: Open, ending: bytes) -> None:
    """A busy machine may give the daemon the time to stop the app first."""
    app = plane.app()
    client, connection = open_stream(plane, app)
    plane.do(Route(None))
    connection.close()
    assert client.until(ending) == ending
    plane.do(Unwind(app.upstream.run_id, 0.0))
    found = counts(plane, app)
    assert (found.cut, found.cut_streams) == (1, 1)


def test_websocket_that_sends_to_an_app_that_has_died_is_told_at_once(plane: Plane) -> None:
    app = plane.app()
    client, connection = websocket(plane, app)
    plane.do(Route(None))
    plane.do(Unwind(app.upstream.run_id, 600))
    connection.close()
    plane.do(Drained(app.upstream.run_id))
    client.send(HELLO)
    client.send(HELLO)
    assert client.rest() == GOING_AWAY


def test_app_that_says_good_bye_itself_is_not_repeated(plane: Plane) -> None:
    app = plane.app()
    client, connection = websocket(plane, app)
    plane.do(Unwind(app.upstream.run_id, 0.1))
    connection.send(GOING_AWAY)
    connection.close()
    assert client.rest() == GOING_AWAY


def test_nothing_is_put_into_the_middle_of_a_frame(plane: Plane) -> None:
    app = plane.app()
    client, connection = websocket(plane, app)
    connection.send(HELLO[:4])
    client.until(HELLO[:4])
    plane.do(Unwind(app.upstream.run_id, 0.05))
    assert client.rest() == b""


def test_event_stream_ends_like_a_whole_reply(plane: Plane) -> None:
    app = plane.app()
    client, connection = events(plane, app)
    plane.do(Route(None))
    plane.do(Unwind(app.upstream.run_id, 0.05))
    assert client.until(b"0\r\n\r\n") == b"0\r\n\r\n"
    assert connection.rest() == b""


def test_event_stream_ends_well_though_its_app_dies_at_once(plane: Plane) -> None:
    app = plane.app()
    client, connection = events(plane, app)
    plane.do(Unwind(app.upstream.run_id, 0.1))
    connection.close()
    assert client.until(b"0\r\n\r\n") == b"0\r\n\r\n"


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"X: y"])
def test_event_stream_waits_for_its_moment_though_its_app_dies_at_once(plane: Plane, framing: bytes) -> None:
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    connection.head()
    connection.send(EVENTS.replace(b"Transfer-Encoding: chunked", framing))
    connection.send(EVENT if framing.startswith(b"T") else b"data: 1\n\n")
    client.until(EVENT)
    plane.do(Unwind(app.upstream.run_id, 0.5))
    connection.close()
    plane.do(Drained(app.upstream.run_id))
    assert client.silent()
    assert client.until(b"0\r\n\r\n") == b"0\r\n\r\n"


def test_upgrade_while_its_slot_stops_is_told_as_well(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(UPGRADE)
    connection = app.accept()
    connection.head()
    plane.do(Route(None))
    plane.do(Unwind(app.upstream.run_id, 0.2))
    connection.send(SWITCHED)
    client.head()
    assert client.until(GOING_AWAY) == GOING_AWAY


def test_event_stream_that_breaks_in_a_chunk_does_not_pass_for_whole(plane: Plane) -> None:
    app = plane.app()
    client, connection = events(plane, app)
    connection.send(b"9\r\ndata")
    client.until(b"data")
    plane.do(Unwind(app.upstream.run_id, 0.05))
    assert client.rest() == b""


@pytest.mark.parametrize("unwinding", [False, True])
def test_streams_are_told_when_the_data_plane_stops(plane: Plane, unwinding: bool) -> None:
    app = plane.app()
    socket, stream = websocket(plane, app)[0], events(plane, app)[0]
    if unwinding:
        plane.do(Unwind(app.upstream.run_id, 600))
    plane.process.terminate()
    assert plane.process.wait(TIMEOUT_S) == 0
    assert socket.rest() == GOING_AWAY
    assert stream.rest() == b"0\r\n\r\n"


def test_download_is_not_ended_but_cut(plane: Plane) -> None:
    """Half of a file with a proper end would pass for the file."""
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    connection.head()
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    client.until(b"abc\r\n")
    plane.do(Route(None))
    plane.do(Unwind(app.upstream.run_id, 0.0))
    found = counts(plane, app)
    assert client.rest() == b""
    assert (found.cut, found.cut_streams) == (1, 0)


def test_stream_that_its_app_ended_in_time_leaves_its_client_alone(plane: Plane) -> None:
    app = plane.app()
    client, connection = events(plane, app)
    plane.do(Unwind(app.upstream.run_id, 0.1))
    connection.send(b"0\r\n\r\n")
    client.until(b"0\r\n\r\n")
    new = plane.app()
    later, _ = events(plane, new)
    plane.do(Unwind(new.upstream.run_id, 0.2))
    later.until(b"0\r\n\r\n")  # So the moment has passed at which the first one would have been ended.
    client.send(GET)
    again = new.accept()
    again.head()
    again.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    client.until(b"204 No Content\r\n\r\n")


@pytest.mark.parametrize("open_stream", [websocket, events])
def test_streams_end_one_after_the_other(plane: Plane, open_stream: Open) -> None:
    app = plane.app()
    clients = {open_stream(plane, app)[0].raw for _ in range(4)}
    over_s = 1.6
    plane.do(Unwind(app.upstream.run_id, over_s))
    ended_s = []
    while clients:
        ended = select.select(list(clients), [], [], TIMEOUT_S)[0]
        clients -= set(ended)
        ended_s += [time.monotonic()] * len(ended)
    assert ended_s[-1] - ended_s[0] > over_s / 4
