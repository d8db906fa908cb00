"""Where bodies end, in any split, against h11."""

import itertools
from types import SimpleNamespace

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.proxy.chunked import MOST_EXCESS_BYTES, REPLY_LINES, REQUEST_LINES, Chunked, ChunkLines
from slot_machine.proxy.framing import MORE, Framing, Sized
from slot_machine.proxy.heads import reply, request
from slot_machine.proxy.heads.fields import ProtocolError
from tests.proxy.costs import steps

EXTENSIONS = st.sampled_from([b"", b"", b";a", b";a=b;c", b'; a = "b;\\" c"', b";" + b"a" * 30])
SIZES = st.one_of(st.integers(1, 40), st.sampled_from([15, 16, 255, 256, 300]))
FORMS = st.sampled_from([b"%x", b"%x", b"%X", b"0%x", b"0000%x"])
TRAILERS = st.sampled_from([b"", b"X-Sum: 1\r\n", b"A: b\r\nC: d\r\n"])


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body in chunks, and what is inside of them."""
    parts = [draw(st.binary(min_size=1, max_size=1)) * size for size in draw(st.lists(SIZES, max_size=6))]
    chunks = [b"%b%b\r\n%b\r\n" % (draw(FORMS) % len(part), draw(EXTENSIONS), part) for part in parts]
    return b"".join(chunks) + b"0%b\r\n%b\r\n" % (draw(EXTENSIONS), draw(TRAILERS)), b"".join(parts)


def fed(framing: Framing, data: bytes, cuts: list[int]) -> int:
    """Where the body ends when `data` comes in these pieces; MORE if it does not."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, stop in itertools.pairwise(edges):
        end = framing.feed(data[start:stop], 0)
        if end != MORE:
            return start + end
    return MORE


@given(chunked(), st.lists(st.integers(0, 500)), st.binary(max_size=20))
def test_chunks_end_at_the_same_place_in_any_split(body: tuple[bytes, bytes], cuts: list[int], next_: bytes) -> None:
    data, inside = body
    payload: list[bytes] = []
    assert fed(Chunked(request.TRAILERS, payload), data + next_, cuts) == len(data)
    assert b"".join(payload) == inside
    assert fed(Chunked(request.TRAILERS), data[:-1], cuts) == MORE


@given(st.integers(1, 100), st.lists(st.integers(0, 500)), st.binary(max_size=20))
def test_a_length_ends_at_the_same_place_in_any_split(length: int, cuts: list[int], next_: bytes) -> None:
    assert fed(Sized(length), b"x" * length + next_, cuts) == length
    assert fed(Sized(length), b"x" * (length - 1), cuts) == MORE


@given(chunked(), st.integers(0, 500), st.binary(min_size=1, max_size=2))
def test_short_chunks_are_taken_as_they_are_one_by_one(body: tuple[bytes, bytes], at: int, odd: bytes) -> None:
    """Where what is inside of the chunks is asked for, each is looked at by itself."""
    whole, _ = body
    broken = whole[: at % len(whole)] + odd + whole[at % len(whole) :]
    assert outcome(Chunked(request.TRAILERS), broken) == outcome(Chunked(request.TRAILERS, []), broken)


def outcome(framing: Framing, data: bytes) -> int | str:
    try:
        return framing.feed(data, 0)
    except ProtocolError as error:
        return str(error)


@given(chunked(), st.data())
def test_what_h11_refuses_does_not_go_through(body: tuple[bytes, bytes], data: st.DataObject) -> None:
    whole, _ = body
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = (
        whole[:at] + data.draw(st.sampled_from([b"\0", b"\n", b"\r", b" ", b"g", b";", b"0", b"-", b"+"])) + whole[at:]
    )
    try:
        end = Chunked(request.TRAILERS).feed(broken, 0)
    except ProtocolError:
        return
    assert h11_end(broken) == end


def h11_end(body: bytes) -> int:
    """Where h11 sees the end of a chunked body; MORE if it does not, -2 if it refuses."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return MORE
    except h11.RemoteProtocolError:
        return -2
    return len(body) - len(connection.trailing_data[0])


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"\r\nhello\r\n",
        b"1" * 16 + b"\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5;a\x00\r\nhello\r\n",
        b"5;" + b"a" * 5000,
        b'5;a="b\r\nhello\r\n0\r\n\r\n',
        b'5;a="b"c\r\nhello\r\n',
        b'5;a="b\\"\r\nhello\r\n',
        b"5;=b\r\nhello\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
        b"0\r\nForwarded: for=6.6.6.6\r\n\r\n",
        b"0\r\nX_Sum: 1\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\n" + b"X: y\r\n" * 201 + b"\r\n",
        b"0\r\n" + b"X: %b\r\n" % (b"y" * 4000) * 20 + b"\r\n",
    ],
)
def test_malformed_chunks_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        Chunked(request.TRAILERS).feed(body, 0)


@pytest.mark.parametrize("line", [b"X-Request-Id: 1", b"X-Forwarded-For: ::1", b"X_Sum: 1", b"Server-Timing: db;dur=1"])
def test_a_replys_trailers_pass(line: bytes) -> None:
    body = b"2\r\nok\r\n0\r\n%b\r\n\r\n" % line
    assert Chunked(reply.TRAILERS, lines=REPLY_LINES).feed(body, 0) == len(body)


@pytest.mark.parametrize("line", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close", b"X Y: z"])
def test_what_no_trailer_may_say_is_refused_in_replies_too(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        Chunked(reply.TRAILERS, lines=REPLY_LINES).feed(b"0\r\n%b\r\n\r\n" % line, 0)


LAST = b"0\r\n\r\n"
MANY = 100_000


@pytest.mark.parametrize(
    "chunk",
    [
        b"1\r\nx\r\n",
        b"0001\r\nx\r\n",
        b"1;" + b"a" * 12 + b"\r\nx\r\n",
        b"2;" + b"a" * 14 + b"\r\nxy\r\n",
        b"10;" + b"a" * 41 + b"\r\n" + b"x" * 16 + b"\r\n",
        b"4000;" + b"a" * 4000 + b"\r\n" + b"x" * 16_384 + b"\r\n",
    ],
)
def test_framing_of_16_bytes_and_twice_the_data_is_free(chunk: bytes) -> None:
    """As in Go's net/http, so chunks of one byte pass in any number."""
    body = chunk * min(MANY, 10_000_000 // len(chunk)) + LAST
    assert Chunked(request.TRAILERS).feed(body, 0) == len(body)


@pytest.mark.parametrize("lines", [REQUEST_LINES, REPLY_LINES])
@pytest.mark.parametrize(
    ("chunk", "free"),
    [(b"1;" + b"a" * 13 + b"\r\nx\r\n", 18), (b"100;" + b"a" * 4000 + b"\r\n" + b"x" * 256 + b"\r\n", 528)],
)
def test_a_body_that_is_mostly_framing_is_refused(chunk: bytes, free: int, lines: ChunkLines) -> None:
    size = len(chunk) - len(chunk.partition(b"\r\n")[0]) - len(b"\r\n\r\n")
    allowed = MOST_EXCESS_BYTES // (len(chunk) - size - free)
    for piece_bytes in (len(chunk) * (allowed + 1), len(chunk), 11):
        framing = Chunked(request.TRAILERS, lines=lines)
        assert fed(framing, chunk * allowed, [*range(0, len(chunk) * allowed, piece_bytes)]) == MORE
        with pytest.raises(ProtocolError):
            framing.feed(chunk, 0)


def relayed(body: bytes, edges: list[int]) -> bytes:
    """What goes on of a reply's body that comes in these pieces."""
    framing, out = Chunked(reply.TRAILERS, lines=REPLY_LINES), b""
    for start, stop in itertools.pairwise([0, *edges, len(body)]):
        piece = body[start:stop]
        end = framing.feed(b"xx" + piece, 2)
        assert end == (2 + len(piece) if stop == len(body) else MORE)
        out += framing.passed(b"xx" + piece, 2, 2 + len(piece))
    return out


def test_space_that_a_reply_must_not_send_stops_in_any_split() -> None:
    body = (
        b'1 ;a\r\n \r\n2  \r\n\t\t\r\n1\t; a = b\t; c = "d ; \\" e\\\\" \r\n \r\n'
        b"0; b\r\nX-A \t: b : c\r\nD: e\r\nF\t:\r\n\r\n"
    )
    goes_on = b'1;a\r\n \r\n2\r\n\t\t\r\n1;a=b;c="d ; \\" e\\\\"\r\n \r\n0;b\r\nX-A: b : c\r\nD: e\r\nF:\r\n\r\n'
    for cut in range(1, len(body)):
        assert relayed(body, [cut]) == goes_on
    assert relayed(body, [*range(1, len(body))]) == relayed(goes_on, []) == goes_on
    payload: list[bytes] = []
    assert Chunked(reply.TRAILERS, payload, REPLY_LINES).feed(body, 0) == len(body)
    assert b"".join(payload) == b" \t\t "


@given(chunked(), st.lists(st.integers(0, 500), max_size=3), st.sampled_from([b" ", b"\t", b"  "]))
def test_what_goes_on_of_a_reply_is_what_strict_parsers_take(
    body: tuple[bytes, bytes], spaces_at: list[int], space: bytes
) -> None:
    whole, inside = body
    for at in spaces_at:
        at %= len(whole)
        whole = whole[:at] + space + whole[at:]
    if outcome(Chunked(reply.TRAILERS, lines=REPLY_LINES), whole) == len(whole):
        assert inside_for_llhttp(relayed(whole, [])) == inside


def inside_for_llhttp(body: bytes) -> bytes:
    parts: list[bytes] = []
    parser = httptools.HttpResponseParser(SimpleNamespace(on_body=parts.append))
    parser.feed_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    return b"".join(parts)


@pytest.mark.parametrize(
    "line",
    [b" 2", b"2 2", b"2 a", b"2 ;", b"2; ;a", b"2 \n", b"2 \r", b"2;a b", b'2 ;a="b', b'2;a="b" c', b"2\x0b", b" "],
)
def test_other_space_in_a_replys_chunk_line_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        Chunked(reply.TRAILERS, lines=REPLY_LINES).feed(b"%b\r\nok\r\n0\r\n\r\n" % line, 0)


@pytest.mark.parametrize("line", [b"2 ;a", b"2\t", b"2  "])
def test_space_that_a_request_must_not_send_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        Chunked(request.TRAILERS).feed(b"%b\r\nok\r\n0\r\n\r\n" % line, 0)


@pytest.mark.parametrize("lines", [REQUEST_LINES, REPLY_LINES])
@pytest.mark.parametrize("size", [1, 15, 16, 100, 255])
def test_short_chunks_cost_no_step_of_python_each(size: int, lines: ChunkLines) -> None:
    body = b"%x\r\n%b\r\n" % (size, b"x" * size) * 10_000
    assert steps(lambda: Chunked(request.TRAILERS, lines=lines).feed(body, 0)) < 200


@pytest.mark.parametrize(
    "chunk",
    [
        b"01;" + b"a" * 12 + b"\r\nx\r\n",
        b"4000;" + b"a" * 4100 + b"\r\n" + b"x" * 16_384 + b"\r\n",
        b"1;" + b"a" * 200 + b"\r\nx\r\n" + b"1\r\nx\r\n" * 20,
    ],
)
def test_excess_is_the_same_in_any_split(chunk: bytes) -> None:
    """It comes to as many chunks however they arrive: all in one piece, or each byte by itself."""
    body = chunk * 20_000 if len(chunk) < 100 else chunk * 120
    pieces = [Chunked(request.TRAILERS), Chunked(request.TRAILERS, []), Chunked(request.TRAILERS)]
    with pytest.raises(ProtocolError) as at_once:
        pieces[0].feed(body, 0)
    with pytest.raises(ProtocolError) as one_by_one:
        pieces[1].feed(body, 0)
    with pytest.raises(ProtocolError) as byte_by_byte:
        fed(pieces[2], body, [*range(len(body))])
    assert str(at_once.value) == str(one_by_one.value) == str(byte_by_byte.value)
