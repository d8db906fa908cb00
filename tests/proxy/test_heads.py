"""Heads against h11 and llhttp, which were written from the same RFCs by others, and against hypothesis."""

from collections.abc import Iterable
from contextlib import suppress

import h11
import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slot_machine.proxy.heads.fields import FRAMING, HOP_BY_HOP, ProtocolError, list_members
from slot_machine.proxy.heads.forwarded import Sender, TrustedProxies
from slot_machine.proxy.heads.reply import ReplyHead
from slot_machine.proxy.heads.request import RequestHead, misnamed

STRANGER = TrustedProxies(()).sender("192.0.2.7")
PROXY = TrustedProxies(("10.0.0.0/8", "::1")).sender("10.1.2.3")

ODD = [b"\0", b"\r", b"\n", b" ", b"\t", b":", b"\x7f", b"\x80", b"\xff", b",", b";", b'"', b"(", b"/", b"a", b"0"]
LINES = [
    b"Host: h",
    b"Host: other",
    b"Host:",
    b"Host: a b",
    b"Content-Length: 5",
    b"Content-Length: 05",
    b"Content-Length: 5, 5",
    b"content-length: 6",
    b"Content-Length: -1",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Connection: close",
    b"Connection: keep-alive, X-Gone",
    b"Connection: upgrade",
    b"Upgrade: websocket",
    b"X-Gone: 1",
    b"Connection: cookie",
    b"Cookie: a=b; c",
    b"Cookie: d=e \t",
    b"Cookie:  f",
    b"Cookie: \xff",
    b"Cookie: \x01",
    b"Cookie: ",
    b"X : 1",
    b" folded",
    b"X:1",
    b"X: \x80\xff",
    b"X: a\tb ",
    b"",
]
REQUEST_LINES = [
    b"GET / HTTP/1.1",
    b"POST /a?b HTTP/1.1",
    b"GET / HTTP/1.0",
    b"OPTIONS * HTTP/1.1",
    b"GET http://h/ HTTP/1.1",
    b"GET http://h/a?b HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"GET /a b HTTP/1.1",
    b"GET / HTTP/1.1 ",
    b"GET / http/1.1",
    b"GET / HTTP/1.2",
    b"GET / HTTP/2.0",
    b"GET",
    b"G@T / HTTP/1.1",
    b"FROBNICATE / HTTP/1.1",
]


@st.composite
def heads(draw: st.DrawFn, first_lines: list[bytes] = REQUEST_LINES) -> bytes:
    """Mostly plausible, sometimes with a byte where none should be; always one whole head."""
    lines = [draw(st.sampled_from(first_lines)), *draw(st.lists(st.sampled_from(LINES), max_size=6))]
    head = b"\r\n".join(lines)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(head)))
        head = head[:at] + draw(st.sampled_from(ODD)) + head[at:]
    return head.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def h11_request(head: bytes) -> h11.Request | None:
    """None if h11 refuses it."""
    try:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(head)
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


@given(heads())
@example(b"GET / HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rY: b\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n")
def test_what_goes_on_means_to_h11_what_was_sent(head: bytes) -> None:
    try:
        request = RequestHead(head)
    except ProtocolError:
        return
    if max(request.target) > 0x7E:
        return  # Raw UTF-8: against the RFC, yet every server takes it and some clients send it.
    expected = h11_request(head)
    assert expected is not None, "h11 refuses what went through"
    passed = h11_request(request.for_app(STRANGER)[0])
    assert passed is not None, "h11 refuses what goes to the app"
    assert (request.method, request.target) == (passed.method, passed.target)
    assert expected.target in (request.target, b"http://h" + request.target)
    assert framing(passed) == framing(expected)
    sent = [
        field
        for field in end_to_end(expected.headers)
        if field[0] != b"host" or not expected.target.startswith(b"http")
    ]
    in_order = [field for field in end_to_end(passed.headers) if field in sent]
    assert sorted(in_order, key=is_cookie) == sorted(sent, key=is_cookie), "fields of one name keep their order"


def is_cookie(field: tuple[bytes, bytes]) -> bool:
    """They go on behind all others."""
    return field[0] == b"cookie"


@pytest.mark.parametrize(
    ("lines", "passed"),
    [
        ((b"A: 1", b"Cookie: a", b"B: 2"), (b"A: 1", b"B: 2", b"Cookie: a")),
        ((b"Cookie: a", b"A: 1", b"Cookie: b", b"Cookie: c"), (b"Cookie: a", b"A: 1", b"Cookie: b", b"Cookie: c")),
        ((b"A: 1", b"Cookie:   a\t", b"B: 2"), (b"A: 1", b"Cookie: a", b"B: 2")),
        ((b"Connection: cookie", b"Cookie: a", b"A: 1"), (b"A: 1",)),
        ((b"A: 1", b"Cookie: \x01"), None),
        ((b"A: 1", b"Cookie: a\rB: 2"), None),
    ],
)
def test_cookies_are_fields_like_others(lines: tuple[bytes, ...], passed: tuple[bytes, ...] | None) -> None:
    head = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    if passed is None:
        with pytest.raises(ProtocolError):
            RequestHead(head)
        return
    own, _, _ = RequestHead(head).for_app(STRANGER)[0].partition(b"X-Forwarded-For")
    assert own.split(b"\r\n")[2:-1] == list(passed)


class Llhttp:
    """The fields that it finds behind a request line."""

    def __init__(self, block: bytes) -> None:
        """Raises HttpParserError."""
        self.fields: list[tuple[bytes, bytes]] = []
        with suppress(httptools.HttpParserUpgrade):
            httptools.HttpRequestParser(self).feed_data(b"GET / HTTP/1.1\r\n" + block)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))


@given(heads())
@example(b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\ncookie: c=d\r\n\r\n")
def test_fields_that_go_on_are_those_that_llhttp_finds(head: bytes) -> None:
    try:
        request = RequestHead(head)
    except ProtocolError:
        return
    absolute = b" http://" in head.partition(b"\r\n")[0]
    sent = end_to_end(Llhttp(head.partition(b"\r\n")[2]).fields)
    sent = [field for field in sent if field[0] != b"host" or not absolute]
    passed = end_to_end(Llhttp(request.for_app(STRANGER)[0].partition(b"\r\n")[2]).fields)
    in_order = [field for field in passed if field in sent]
    assert sorted(in_order, key=is_cookie) == sorted(sent, key=is_cookie)


def end_to_end(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    known = [*fields]
    connection = b",".join(value for name, value in known if name == b"connection")
    stop = HOP_BY_HOP | (list_members(connection) - FRAMING)
    return [(name, value) for name, value in known if name not in stop]


def framing(request: h11.Request) -> tuple[list[bytes], list[bytes]]:
    lengths = [value for name, value in request.headers if name == b"content-length"]
    return lengths, [value for name, value in request.headers if name == b"transfer-encoding"]


@pytest.mark.parametrize("line", [b"%bX: y", b"X%bX: y", b"X%b: y", b"X:%by", b"X: y%bz", b"X: y%b", b"X%b"])
def test_every_byte_counts_for_what_llhttp_takes_it_for(line: bytes) -> None:
    for byte in range(256):
        block = line % bytes([byte]) + b"\r\nHost: h\r\n\r\n"
        try:
            passed = RequestHead(b"GET / HTTP/1.1\r\n" + block).for_app(STRANGER)[0]
        except ProtocolError:
            continue
        sent = [field for field in Llhttp(block).fields if not misnamed(field[0])]
        assert Llhttp(passed.partition(b"\r\n")[2]).fields[: len(sent)] == sent


@given(
    heads([b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 304", b"HTTP/1.1 20 OK", b"HTTP/2 200 OK", b"ICY 200"])
)
def test_replies_that_go_on_are_whole_for_h11(head: bytes) -> None:
    try:
        reply = ReplyHead(head)
    except ProtocolError:
        return
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.receive_data(reply.kept_alive)
    event = connection.next_event()
    assert isinstance(event, h11.Response)
    assert event.status_code == reply.status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
        (b"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET http:/h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET http://:80/x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET http://h\\x/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET http://h/#x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET http://h/ HTTP/1.1\r\n\r\n", 400),
        (b"GET http://h/ HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
        (b"GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 201 + b"\r\n", 431),
    ],
)
def test_refusals_have_fitting_statuses(head: bytes, status: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        RequestHead(head)
    assert refused.value.status == status


def test_the_same_block_counts_for_both_versions() -> None:
    block = b"Transfer-Encoding: chunked\r\nHost: h\r\n\r\n"
    assert RequestHead(b"POST / HTTP/1.1\r\n" + block).meaning.chunked
    with pytest.raises(ProtocolError):
        RequestHead(b"POST / HTTP/1.0\r\n" + block)


FORGED = (
    b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.9\r\nx-forwarded-proto: https\r\n"
    b"X-Forwarded-Host: public\r\nX-Request-Id: abc\r\n\r\n"
)


def forwarded(head: bytes) -> dict[bytes, bytes]:
    lines = [line.partition(b": ") for line in head.split(b"\r\n")]
    return {name.lower(): value for name, _, value in lines if name.lower().startswith((b"x-forwarded", b"x-request"))}


def test_a_stranger_is_not_believed() -> None:
    said = forwarded(RequestHead(FORGED).for_app(STRANGER)[0])
    request_id = said.pop(b"x-request-id")
    assert request_id != b"abc"
    assert said == {b"x-forwarded-for": b"192.0.2.7", b"x-forwarded-proto": b"http", b"x-forwarded-host": b"h"}


def test_a_trusted_proxy_is_believed() -> None:
    assert forwarded(RequestHead(FORGED).for_app(PROXY)[0]) == {
        b"x-forwarded-for": b"203.0.113.9, 10.1.2.3",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"public",
        b"x-request-id": b"abc",
    }


STRAY = [
    b"Forwarded: for=6.6.6.6;proto=https;host=evil",
    b"X-Forwarded-Ssl: on",
    b"X-Forwarded-Scheme: https",
    b"X-Forwarded-Protocol: ssl",
    b"X-Forwarded-Port: 666",
    b"X-Forwarded-Prefix: /evil",
    b"X-Forwarded-Server: evil",
    b"X-Forwarded-Anything: evil",
    b"x-real-ip: 6.6.6.6",
    b"Client-IP: 6.6.6.6",
    b"True-Client-IP: 6.6.6.6",
    b"X-Client-IP: 6.6.6.6",
    b"X-Cluster-Client-IP: 6.6.6.6",
    b"CF-Connecting-IP: 6.6.6.6",
    b"Fastly-Client-IP: 6.6.6.6",
    b"Front-End-Https: on",
    b"X-Rewrite-Url: /evil",
    b"X-Azure-ClientIP: 6.6.6.6",
    b"X-Envoy-External-Address: 6.6.6.6",
    b"X-Url-Scheme: https",
    b"X-Proxied-Https: on",
    b"X-Sendfile-Type: X-Accel-Redirect",
    b"X-Accel-Mapping: /=/evil",
    b"Proxy: evil",
]


@pytest.mark.parametrize("line", STRAY)
def test_only_a_trusted_proxy_says_how_a_request_came(line: bytes) -> None:
    request = RequestHead(b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarder: 1\r\n%b\r\n\r\n" % line)
    from_stranger, from_proxy = request.for_app(STRANGER)[0], request.for_app(PROXY)[0]
    assert b"\r\n%b:" % line.partition(b":")[0].lower() not in from_stranger.lower()
    assert line + b"\r\n" in from_proxy
    assert all(b"X-Forwarder: 1\r\n" in head for head in (from_stranger, from_proxy))
    assert all(head.count(b"\r\nX-Forwarded-For: ") == 1 for head in (from_stranger, from_proxy))
    assert request.misnamed == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (b"https", b"https"),
        (b"http", b"http"),
        (b"wss", b"https"),
        (b"ws", b"http"),
        (b"HTTPS", b"https"),
        (b"http, https", b"https"),
        (b"https://evil", b"http"),
        (b"", b"http"),
    ],
)
def test_apps_get_http_or_https_as_proto(given: bytes, told: bytes) -> None:
    request = RequestHead(b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: %b\r\n\r\n" % given)
    assert forwarded(request.for_app(PROXY)[0])[b"x-forwarded-proto"] == told


BEHIND_EDGE = TrustedProxies(("127.0.0.0/8", "198.51.100.0/24"), b"secret")
FROM_EDGE = FORGED[:-2] + b"CF-Connecting-IP: 6.6.6.6\r\nX-Slot-Machine-Edge: "


def test_the_edge_is_believed_by_its_secret() -> None:
    request = RequestHead(FROM_EDGE + b"secret\r\n\r\n")
    passed = request.for_app(BEHIND_EDGE.sender("127.0.0.1"))[0]
    said = forwarded(passed)
    assert said.pop(b"x-request-id") != b"abc"
    assert said == {b"x-forwarded-for": b"203.0.113.9", b"x-forwarded-proto": b"https", b"x-forwarded-host": b"public"}
    assert b"secret" not in passed
    assert b"6.6.6.6" not in passed


@pytest.mark.parametrize("head", [FORGED, FROM_EDGE + b"guess\r\n\r\n", FROM_EDGE + b"\r\n\r\n"])
def test_others_on_loopback_are_not_the_edge(head: bytes) -> None:
    sender = BEHIND_EDGE.sender("127.0.0.1")
    said = forwarded(RequestHead(head).for_app(sender)[0])
    assert said[b"x-forwarded-for"] == b"127.0.0.1"
    assert said[b"x-forwarded-proto"] == b"http"
    assert RequestHead(head).client(sender) == "127.0.0.1"


def test_the_secret_is_of_no_use_from_elsewhere() -> None:
    sender = BEHIND_EDGE.sender("192.0.2.7")
    assert forwarded(RequestHead(FROM_EDGE + b"secret\r\n\r\n").for_app(sender)[0])[b"x-forwarded-for"] == b"192.0.2.7"


def test_the_client_is_the_one_in_front_of_the_proxies_before_the_edge() -> None:
    chain = b"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 198.51.100.3\r\nX-Slot-Machine-Edge: secret\r\n\r\n"
    request = RequestHead(b"GET / HTTP/1.1\r\nHost: h\r\n" + chain)
    assert request.client(BEHIND_EDGE.sender("127.0.0.1")) == "203.0.113.9"


def test_an_ipv4_client_of_a_socket_for_both_families_is_ipv4() -> None:
    trusted = TrustedProxies(("10.0.0.0/8",))
    said = forwarded(RequestHead(FORGED).for_app(trusted.sender("::ffff:10.0.0.1"))[0])
    assert said[b"x-forwarded-for"] == b"203.0.113.9, 10.0.0.1"


@pytest.mark.parametrize(
    ("told", "client"),
    [
        (b"203.0.113.7:4711", "203.0.113.7"),
        (b"203.0.113.7:4711, 10.0.0.3:80", "203.0.113.7"),
        (b"[2001:db8::1]:4711", "2001:db8::1"),
        (b"[2001:DB8::1]", "2001:db8::1"),
        (b"2001:db8::1:4711", "2001:db8::1:4711"),
        (b"::ffff:203.0.113.7", "203.0.113.7"),
        (b"::ffff:cb00:7107", "203.0.113.7"),
        (b"[::ffff:203.0.113.7]:4711", "203.0.113.7"),
        (b"203.0.113.7, ::ffff:10.0.0.3", "203.0.113.7"),
        (b"203.0.113.7:65535", "203.0.113.7"),
        (b"fe80::1%eth0", "fe80::1"),
        (b'fe80::1% - - [] "GET x" 200 1 "', "fe80::1"),
        (b"::ffff:203.0.113.7%1", "203.0.113.7"),
        (b"6.6.6.6, [203.0.113.7]:80", "10.1.2.3"),
        (b"6.6.6.6, 203.0.113.7:65536", "10.1.2.3"),
        (b"6.6.6.6, 203.0.113.7:", "10.1.2.3"),
        (b"6.6.6.6, 203.0.113.7:x", "10.1.2.3"),
        (b"6.6.6.6, 203.0.113.7:4711:1", "10.1.2.3"),
        (b"6.6.6.6, 203.0.113:80", "10.1.2.3"),
        (b"6.6.6.6, [2001:db8::1]4711", "10.1.2.3"),
        (b"6.6.6.6, [2001:db8::1:4711", "10.1.2.3"),
        (b'6.6.6.6, "203.0.113.7:4711"', "10.1.2.3"),
        (b"6.6.6.6, unknown, 10.0.0.3:80", "10.0.0.3"),
    ],
)
def test_the_client_among_addresses_with_ports_and_in_both_families(told: bytes, client: str) -> None:
    request = RequestHead(b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: %b\r\n\r\n" % told)
    assert request.client(PROXY) == client
    assert forwarded(request.for_app(PROXY)[0])[b"x-forwarded-for"] == told + b", 10.1.2.3"


@pytest.mark.parametrize("name", [b"Connection", b"Keep-Alive", b"Proxy-Connection", b"TE", b"Upgrade", b"X-Named"])
def test_hop_by_hop_fields_stop_here(name: bytes) -> None:
    fields = b"%b: x\r\nConnection: x-named\r\nHost: h\r\n\r\n" % name
    assert b"\r\n%b:" % name not in RequestHead(b"GET / HTTP/1.1\r\n" + fields).for_app(STRANGER)[0]
    assert b"\r\n%b:" % name not in ReplyHead(b"HTTP/1.1 200 OK\r\n" + fields).kept_alive


def test_connection_cannot_take_the_framing_away() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: content-length, host\r\nContent-Length: 5\r\n\r\n"
    assert b"Content-Length: 5\r\n" in RequestHead(head).for_app(STRANGER)[0]
    assert b"Host: h\r\n" in RequestHead(head).for_app(STRANGER)[0]


@pytest.mark.parametrize("upgrade", [b"h2c", b"H2C", b"h2c, websocket", b"websocket, h2c", b"h2c,"])
def test_h2c_is_no_upgrade_here(upgrade: bytes) -> None:
    fields = b"Host: h\r\nConnection: Upgrade\r\nUpgrade: %b\r\nHTTP2-Settings: x\r\n\r\n" % upgrade
    passed = RequestHead(b"GET / HTTP/1.1\r\n" + fields).for_app(STRANGER)[0].lower()
    assert b"h2c" not in passed
    assert b"http2-settings" not in passed


def test_upgrade_is_for_http_1_1() -> None:
    fields = b"Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert b"Upgrade: websocket" in RequestHead(b"GET / HTTP/1.1\r\n" + fields).for_app(STRANGER)[0]
    assert b"Upgrade: websocket" not in RequestHead(b"GET / HTTP/1.0\r\n" + fields).for_app(STRANGER)[0]


@pytest.mark.parametrize("sender", [STRANGER, PROXY])
@pytest.mark.parametrize(
    "name",
    [
        b"X_Forwarded_For",
        b"X-Forwarded_For",
        b"Content_Length",
        b"transfer_encoding",
        b"SCRIPT_NAME",
        b"X_Other",
        b"_",
        b"X.Forwarded.For",
        b"X-Real.IP",
        b"Content.Length",
        b"X!Real!Ip",
        b"X~Authenticated+User",
    ],
)
def test_what_an_app_could_take_for_another_field_stops_here(name: bytes, sender: Sender) -> None:
    """CGI and WSGI know no difference between a dash and an underscore, PHP none between these and a dot."""
    head = b"GET / HTTP/1.1\r\nHost: h\r\nX-Other: 1\r\n%b: 6.6.6.6\r\n\r\n" % name
    request = RequestHead(head)
    passed = request.for_app(sender)[0]
    assert b"6.6.6.6" not in passed
    assert b"X-Other: 1\r\n" in passed
    assert request.misnamed == 1


@pytest.mark.parametrize(
    ("line", "passed"),
    [
        (b"GET http://other/abs?q=1 HTTP/1.1", b"GET /abs?q=1 HTTP/1.1\r\nHost: other\r\nA: 1\r\n"),
        (b"GET HTTPS://Other:81 HTTP/1.1", b"GET / HTTP/1.1\r\nHost: Other:81\r\nA: 1\r\n"),
        (b"GET http://[::1]?q HTTP/1.1", b"GET /?q HTTP/1.1\r\nHost: [::1]\r\nA: 1\r\n"),
        (b"GET http://other//x HTTP/1.1", b"GET //x HTTP/1.1\r\nHost: other\r\nA: 1\r\n"),
        (b"OPTIONS http://other HTTP/1.1", b"OPTIONS * HTTP/1.1\r\nHost: other\r\nA: 1\r\n"),
        (b"OPTIONS http://other/ HTTP/1.1", b"OPTIONS / HTTP/1.1\r\nHost: other\r\nA: 1\r\n"),
        (b"OPTIONS http://other?q HTTP/1.1", b"OPTIONS /?q HTTP/1.1\r\nHost: other\r\nA: 1\r\n"),
    ],
)
def test_a_whole_url_goes_on_as_path_and_host(line: bytes, passed: bytes) -> None:
    """RFC 9112 sections 3.2.2 and 3.2.4: what Host says does not count beside it."""
    for host in (b"Host: h", b"hOST:other"):
        head = RequestHead(b"%b\r\nA: 1\r\n%b\r\nCookie: a=b\r\n\r\n" % (line, host)).for_app(STRANGER)[0]
        assert head.startswith(passed + b"Cookie: a=b\r\n")
        assert b"\r\nX-Forwarded-Host: %b\r\n" % passed.split(b"\r\n")[1].removeprefix(b"Host: ") in head


def test_a_whole_url_needs_no_host_in_http_1_0() -> None:
    head = RequestHead(b"GET http://other/ HTTP/1.0\r\n\r\n").for_app(STRANGER)[0]
    assert head.startswith(b"GET / HTTP/1.1\r\nHost: other\r\nX-Forwarded-For: ")


@pytest.mark.parametrize("status", [b"103 Early Hints", b"204 No Content"])
def test_replies_without_a_body_have_no_length(status: bytes) -> None:
    assert b"Content-Length" not in ReplyHead(b"HTTP/1.1 %b\r\nContent-Length: 5\r\n\r\n" % status).kept_alive


@pytest.mark.parametrize("space", [b" ", b"\t", b" \t "])
def test_space_before_the_colon_of_a_replys_field_does_not_go_on(space: bytes) -> None:
    """RFC 9112 section 5.1. A request's is refused: another server may have taken it for a different field."""
    reply = ReplyHead(b"HTTP/1.1 200 OK\r\nX-A%b: b\r\nContent-Length%b:5\r\n\r\n" % (space, space))
    assert reply.kept_alive == b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\n"
    assert reply.length == 5
    with pytest.raises(ProtocolError):
        RequestHead(b"GET / HTTP/1.1\r\nHost: h\r\nX-A%b: b\r\n\r\n" % space)


@pytest.mark.parametrize("name", [b"X_A", b"Content_Type", b"X-Forwarded-For", b"X_Request_Id", b"X.A"])
def test_a_replys_field_goes_on_whatever_its_name(name: bytes) -> None:
    assert b"\r\n%b: b\r\n" % name in ReplyHead(b"HTTP/1.1 200 OK\r\n%b: b\r\n\r\n" % name).kept_alive


@pytest.mark.parametrize("line", [b" : b", b":b", b" X: b", b"X Y: b", b"X \x0b: b"])
def test_what_is_no_field_of_a_reply_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        ReplyHead(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % line)
