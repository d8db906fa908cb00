"""Where bodies end, in any split, against h11."""

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.proxy import request
from slot_machine.proxy.fields import Refusal
from slot_machine.proxy.framing import MORE, Chunked, Framing, Sized

EXTENSIONS = st.sampled_from([b"", b";a", b";a=b;c", b'; a = "b;\\" c"'])
TRAILERS = st.sampled_from([b"", b"X-Sum: 1\r\n", b"A: b\r\nC: d\r\n"])


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body in chunks, and what is inside of them."""
    parts = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    chunks = [b"%x%b\r\n%b\r\n" % (len(part), draw(EXTENSIONS), part) for part in parts]
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


@given(chunked(), st.data())
def test_what_h11_refuses_does_not_go_through(body: tuple[bytes, bytes], data: st.DataObject) -> None:
    whole, _ = body
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = (
        whole[:at] + data.draw(st.sampled_from([b"\0", b"\n", b"\r", b" ", b"g", b";", b"0", b"-", b"+"])) + whole[at:]
    )
    try:
        end = Chunked(request.TRAILERS).feed(broken, 0)
    except Refusal:
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
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
)
def test_malformed_chunks_are_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        Chunked(request.TRAILERS).feed(body, 0)
