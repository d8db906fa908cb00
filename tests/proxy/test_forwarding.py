"""What the data plane carries, byte for byte."""

import pytest

from slot_machine.proxy.wire import Measure
from tests.proxy.conftest import Plane
from tests.proxy.talk import GET, OK


def test_request_head_goes_through_unchanged_but_for_hop_by_hop(plane: Plane) -> None:
    app = plane.app()
    plane.client(
        b"GET /a%2Fb/%C3%A9?q=%zz&x=a+b HTTP/1.1\r\nhOsT: Ex.ample:81\r\nX-Two: 1\r\nx-two:  2 \r\n"
        b"Connection: keep-alive, X-Gone\r\n"
        b"X-Gone: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\n\r\n"
    )

    head = app.accept().head()

    line, *fields, _, _ = head.split(b"\r\n")
    assert line == b"GET /a%2Fb/%C3%A9?q=%zz&x=a+b HTTP/1.1"
    assert fields[:3] == [b"hOsT: Ex.ample:81", b"X-Two: 1", b"x-two: 2"]
    forwarded = [field for field in fields[3:] if not field.startswith(b"X-Request-Id: ")]
    assert forwarded == [b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Proto: http", b"X-Forwarded-Host: Ex.ample:81"]


@pytest.mark.parametrize(
    ("framing", "body", "received"),
    [
        (b"Content-Length: 5", b"hello", b"hello"),
        (
            b"Transfer-Encoding: chunked",
            b"3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: x\r\n\r\n",
            b"3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: x\r\n\r\n",
        ),
    ],
)
def test_request_bodies(plane: Plane, framing: bytes, body: bytes, received: bytes) -> None:
    app = plane.app()
    client = plane.client(b"POST / HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\n\r\n" + body)

    connection = app.accept()
    assert framing in connection.head()
    connection.until(received)
    connection.send(OK)

    client.until(b"ok")


@pytest.mark.parametrize(
    ("method", "reply", "received"),
    [
        (
            b"GET",
            b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX: y\r\n\r\nok",
            b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX: y\r\n\r\nok",
        ),
        (
            b"GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            b"\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (
            b"GET",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        ),
        (
            b"GET",
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK,
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK,
        ),
    ],
)
def test_replies_and_the_client_connection_stays(plane: Plane, method: bytes, reply: bytes, received: bytes) -> None:
    app = plane.app()
    client = plane.client(method + b" / HTTP/1.1\r\nHost: h\r\n\r\n")
    first = app.accept()
    first.head()
    first.send(reply)
    client.until(received)
    first.close()

    client.send(GET)

    second = app.accept()
    second.head()
    second.send(OK)
    assert client.until(b"ok") == OK


@pytest.mark.parametrize("after", [b"keep-alive", b"close"])
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_reply_that_can_have_no_body_says_nothing_of_chunks(plane: Plane, status: bytes, after: bytes) -> None:
    app = plane.app()
    client = plane.client(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: %b\r\n\r\n" % after)
    connection = app.accept()
    connection.head()
    connection.send(b"HTTP/1.1 %b\r\nTransfer-Encoding: chunked\r\n\r\n" % status)

    assert b"Transfer-Encoding" not in client.head()


def test_reply_that_ends_with_the_connection(plane: Plane) -> None:
    app = plane.app()
    new, old = plane.client(GET), plane.client(b"GET / HTTP/1.0\r\n\r\n")
    for _ in range(2):
        connection = app.accept()
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        connection.close()

    assert new.until(b"0\r\n\r\n").endswith(b"\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    reply = old.rest()
    assert reply.endswith(b"\r\n\r\nok")
    assert b"chunked" not in reply


def test_http_1_0_client_never_gets_chunks(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(b"GET / HTTP/1.0\r\n\r\n")
    connection = app.accept()
    connection.head()
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

    assert client.rest() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"


def test_pipelined_requests_are_answered_in_order(plane: Plane) -> None:
    app = plane.app()
    paths = [b"/1", b"/2", b"/3"]
    client = plane.client(b"".join(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path for path in paths))
    connection = app.accept()
    for path in paths:
        assert connection.head().startswith(b"GET %s " % path)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + path)

    for path in paths:
        client.until(b"\r\n\r\n" + path)


def test_expect_100_continue_passes_through(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    connection = app.accept()
    assert b"Expect: 100-continue" in connection.head()
    connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hi")
    connection.until(b"hi")
    connection.send(OK)

    assert client.until(b"ok") == OK


def test_head_in_any_split_is_the_same_request(plane: Plane) -> None:
    app = plane.app()
    request = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
    client = plane.client()
    for byte in request:
        client.send(bytes([byte]))

    connection = app.accept()
    assert connection.head().startswith(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n")
    connection.until(b"hi")


def test_long_chunked_upload_is_no_long_head(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection = app.accept()
    connection.head()
    for _ in range(200):
        client.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
    client.send(b"0\r\n\r\n")
    connection.until(b"0\r\n\r\n")
    connection.send(OK)

    assert client.until(b"ok") == OK


def test_upgrade_becomes_a_tunnel(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
    connection = app.accept()
    head = connection.head()
    assert b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" in head
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")

    assert b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" in client.head()
    client.until(b"hello")
    connection.until(b"early")
    client.send(b"\x00ping")
    connection.until(b"\x00ping")
    connection.close()
    assert client.rest() == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1,1\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX(y): z\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET /\r\n",
        b"GET / HTTP/1.1 \r\nHost:",
        b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: h\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_ambiguous_request_is_refused_and_never_reaches_the_app(plane: Plane, request_bytes: bytes) -> None:
    app = plane.app()

    reply = plane.client(request_bytes).rest()

    assert reply[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 5")
    assert b"\r\nConnection: close\r\n" in reply
    assert app.untouched()


def test_reply_fields_and_trailers_pass_whatever_their_names(plane: Plane) -> None:
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    connection.head()
    body = b"2;a\r\nok\r\n0\r\nX-Request-Id: 1\r\nX_Sum: 2 : 3\r\nX-C: 4\r\n\r\n"
    connection.send(b"HTTP/1.1 200 OK\r\nX_A: 1\r\nX-B : 2\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.send(body.replace(b"X-C:", b"X-C \t:"))

    head = b"HTTP/1.1 200 OK\r\nX_A: 1\r\nX-B: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert client.until(body) == head + body


def test_request_fields_that_stop_for_their_names_are_counted(plane: Plane) -> None:
    app = plane.app()
    for _ in range(2):
        client = plane.client(b"GET / HTTP/1.1\r\nHost: h\r\nSCRIPT_NAME: /x\r\nX_Y: 1\r\nX-Y: 1\r\n\r\n")
        connection = app.accept()
        assert b"_" not in connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        client.until(b"ok")

    assert (plane.do(Measure()).totals or {})["a"].misnamed_fields == 4
