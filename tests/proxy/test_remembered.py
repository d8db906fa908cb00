"""The second of its kind: what is known of a head already takes a shorter way, and comes to the same."""

from slot_machine.core.upstream import PUBLIC, Address
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.wire import Measure
from tests.proxy.conftest import Plane
from tests.proxy.in_memory import Idle
from tests.proxy.talk import GET, OK, answered, served

PART = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhi"


def test_what_comes_beyond_a_reply_reaches_nobody(plane: Plane) -> None:
    app, client, connection = served(plane)
    client.send(GET)
    answered(connection, OK + OK)
    client.until(b"ok")
    assert connection.rest() == b""
    assert client.silent()
    client.send(GET)
    answered(app.accept())
    client.until(b"ok")


def test_reply_before_the_whole_request_ends_both_connections(plane: Plane) -> None:
    app, client, _ = served(plane)
    client.send(PART)
    upload = app.accept()
    upload.until(b"hi")
    upload.send(OK)
    assert b"\r\nConnection: close\r\n" in client.until(b"ok")
    assert upload.rest() == b""


def test_reply_before_the_whole_request_leaves_no_connection_for_the_next(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(PART)
    upload = app.accept()
    upload.until(b"hi")
    upload.send(OK)
    client.until(b"ok")
    assert upload.rest() == b""


def test_equal_requests_have_ids_of_their_own_and_count_alike(plane: Plane) -> None:
    _, client, connection = served(plane)
    ids = set()
    for number in (2, 3):
        client.send(GET)
        ids.add(connection.head().partition(b"X-Request-Id: ")[2])
        connection.send(OK)
        client.until(b"ok")
        totals = (plane.do(Measure()).totals or {})["a"]
        assert (totals.bytes_in, totals.bytes_out) == (number * len(GET), number * len(OK))
    assert len(ids) == 2


def test_pool_looks_before_a_post_however_short_the_rest(closed_fd: int) -> None:
    pool: Pool[Idle] = Pool(Address(PUBLIC, 1))
    pool.put(Idle(closed_fd), 0.0, 60.0)
    assert pool.take(0.001, False) is None
