"""Routing, claims, holds and drains of a running data plane, and the failures it answers by name."""

import socket
from pathlib import Path

import pytest

from slot_machine.proxy.wire import Close, Drained, Forget, Hold, Limits, Route
from tests.proxy.conftest import Plane, error_of, running
from tests.proxy.talk import GET, OK, RESET, answered, served, writable

JSON_GET = b"GET / HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\nConnection: close\r\n\r\n"


def test_nothing_routed_is_503_with_retry_after(plane: Plane) -> None:
    reply = plane.client(JSON_GET).rest()

    assert reply.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 1\r\n" in reply
    assert error_of(reply) == "nothing is live here right now"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (b"application/json", b"application/json"),
        (b"Application/JSON, text/plain, */*", b"application/json"),
        (b"text/html, application/json;q=0.5", b"text/html"),
        (b"*/*", b"text/html"),
    ],
)
def test_failures_are_told_in_the_kind_that_the_client_names_first(plane: Plane, accept: bytes, kind: bytes) -> None:
    reply = plane.client(JSON_GET.replace(b"application/json", accept)).rest()

    assert b"\r\nContent-Type: " + kind in reply


def test_switch_is_per_request_and_unseen_by_a_kept_alive_client(plane: Plane) -> None:
    old, client, connection = served(plane)

    new = plane.app()

    assert connection.rest() == b""
    client.send(GET)
    fresh = new.accept()
    answered(fresh)
    client.until(b"ok")
    assert old.untouched()


def test_drained_is_answered_when_the_last_request_in_flight_is(plane: Plane) -> None:
    old = plane.app()
    client = plane.client(GET)
    connection = old.accept()
    connection.head()
    plane.app()
    draining = plane.begin(Drained(old.upstream.run_id))
    assert plane.control_is_silent()

    connection.send(OK)

    assert plane.reply().id == draining
    client.until(b"ok")
    counts = plane.do(Forget(old.upstream.run_id)).counts
    assert counts
    assert (counts.finished, counts.cut) == (1, 0)


def test_tunnels_count_as_in_flight_and_are_cut_by_forget(plane: Plane) -> None:
    old = plane.app()
    client = plane.client(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    connection = old.accept()
    connection.head()
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    client.head()
    plane.do(Route(None))
    draining = plane.begin(Drained(old.upstream.run_id))
    assert plane.control_is_silent()

    plane.begin(Forget(old.upstream.run_id))

    replies = [plane.reply(), plane.reply()]
    assert draining in {reply.id for reply in replies}
    (counts,) = (reply.counts for reply in replies if reply.counts)
    assert (counts.cut, counts.cut_streams) == (1, 1)
    assert client.rest() == b""


def test_held_requests_go_on_in_order(plane: Plane) -> None:
    plane.app()
    plane.do(Hold())
    clients = [plane.client(GET) for _ in range(3)]
    for client in clients:
        assert client.silent()

    new = plane.app()

    for _ in clients:
        connection = new.accept()
        answered(connection)
    for client in clients:
        assert client.until(b"ok") == OK


def test_held_requests_are_refused_when_nothing_comes(plane: Plane) -> None:
    plane.do(Hold())
    client = plane.client(JSON_GET)
    assert client.silent()

    plane.do(Route(None))

    assert client.rest().startswith(b"HTTP/1.1 503 ")


def test_refused_is_what_the_app_failed_at_after_the_switch(plane: Plane) -> None:
    app = plane.app()
    plane.client(JSON_GET)
    app.accept().close()
    upload = plane.client(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    app.accept().head()
    failing = plane.client(JSON_GET)
    connection = app.accept()
    plane.do(Route(None))
    upload.send(b"no size\r\n")
    assert upload.head().startswith(b"HTTP/1.1 400 ")
    connection.close()
    assert failing.head().startswith(b"HTTP/1.1 502 ")

    counts = plane.do(Forget(app.upstream.run_id)).counts

    assert counts
    assert counts.refused == 1


def test_hold_has_a_limit(tmp_path: Path) -> None:
    with running(tmp_path, Limits(hold_s=0.1)) as plane:
        plane.do(Hold())

        assert plane.client(JSON_GET).rest().startswith(b"HTTP/1.1 503 ")
        counts = plane.do(Route(None)).counts
        assert counts
        assert (counts.held, counts.refused) == (1, 1)


def test_each_hold_may_have_a_limit_of_its_own(tmp_path: Path) -> None:
    with running(tmp_path, Limits(hold_s=60)) as plane:
        plane.do(Hold(0.1))

        assert plane.client(JSON_GET).rest().startswith(b"HTTP/1.1 503 ")


def test_app_that_refuses_is_502(plane: Plane) -> None:
    plane.app().stop_listening()

    reply = plane.client(JSON_GET).rest()

    assert reply.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert "refused the connection" in error_of(reply)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"what is this\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nX Y: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_app_that_breaks_is_502(plane: Plane, reply: bytes) -> None:
    app = plane.app()
    client = plane.client(JSON_GET)
    connection = app.accept()
    answered(connection, reply)
    connection.close()

    assert client.rest().startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    "beginning",
    [
        b"SSH-2.0-x",
        b"HTTP/1.1 ok\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\nok",
        b"HTTP/1.1 103 Early Hints\r\n\r\nok",
    ],
)
def test_what_cannot_become_a_reply_is_502_while_the_app_waits(plane: Plane, beginning: bytes) -> None:
    app = plane.app()
    client = plane.client(JSON_GET)
    connection = app.accept()
    answered(connection, beginning)

    client.until(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket, h2c", b""])
def test_app_that_switches_to_what_nobody_asked_for_is_502(plane: Plane, protocol: bytes) -> None:
    app = plane.app()
    client = plane.client(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    connection = app.accept()
    connection.head()
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: %b\r\n\r\n" % protocol)

    assert client.head().startswith(b"HTTP/1.1 502 ")


def test_app_that_is_silent_is_504(tmp_path: Path) -> None:
    with running(tmp_path, Limits(response_s=0.1)) as plane:
        app = plane.app()
        client = plane.client(JSON_GET)
        app.accept().head()

        assert client.rest().startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize("head", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_app_that_dies_in_a_reply_cuts_the_client_off(plane: Plane, head: bytes) -> None:
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    connection.head()
    connection.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n3\r\nabc")
    client.until(b"abc")
    connection.close()

    assert client.rest() in (b"", b"\r\n")


@pytest.mark.parametrize("head", [b"Transfer-Encoding: chunked", b"X: y"])
def test_part_of_a_reply_does_not_pass_for_whole_where_the_end_of_the_connection_is_its_own(
    plane: Plane, head: bytes
) -> None:
    app = plane.app()
    client = plane.client(b"GET / HTTP/1.0\r\n\r\n")
    connection = app.accept()
    connection.head()
    connection.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n5\r\nabc")
    client.until(b"abc")
    connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()

    with pytest.raises(ConnectionResetError):
        client.raw.recv(1)


def test_client_that_leaves_cancels_the_apps_side(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    connection.head()

    client.close()

    assert connection.rest() == b""
    plane.do(Drained(app.upstream.run_id))


def test_kept_alive_connection_that_the_app_closed_is_no_error(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    stale = app.accept()
    answered(stale)
    client.until(b"ok")
    client.send(GET)
    stale.head()
    stale.close()

    again = app.accept()
    answered(again)

    assert client.until(b"ok") == OK


def test_post_is_never_sent_on_a_connection_that_may_be_stale(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    first = app.accept()
    answered(first)
    client.until(b"ok")

    client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")

    app.accept().until(b"hi")
    assert first.silent()


def test_reader_that_does_not_read_makes_the_app_wait(plane: Plane) -> None:
    app = plane.app()
    plane.client(GET)
    connection = app.accept()
    connection.head()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    sent = 0
    while writable(connection.raw):
        sent += connection.raw.send(b"x" * 1_000_000)

    resident_kb = int(Path(f"/proc/{plane.process.pid}/status").read_text().split("VmRSS:")[1].split()[0])
    assert sent < 100_000_000
    assert resident_kb < 60_000


def test_close_lets_requests_in_flight_finish_and_takes_no_more(plane: Plane) -> None:
    app = plane.app()
    idle, busy = plane.client(GET), plane.client()
    connection = app.accept()
    answered(connection)
    idle.until(b"ok")
    busy.send(GET)
    connection.head()

    plane.do(Close())

    assert idle.rest() == b""
    connection.send(OK)
    assert b"\r\nConnection: close\r\n" in busy.head()
    assert busy.rest() == b"ok"


def test_early_answer_to_an_upload_arrives_though_the_app_resets(plane: Plane) -> None:
    """An app that refuses an upload closes with bytes unread, and so resets its connection."""
    app = plane.app()
    for _ in range(20):
        client = plane.client(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 500_000)
        connection = app.accept()
        connection.head()
        connection.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        connection.close()
        assert client.head().startswith(b"HTTP/1.1 413 ")
