"""Whole conversations in memory, where each piece arrives as it was cut: a socket may join what was sent apart."""

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.proxy.conversation import CHUNKS, Talk, cut

REQUESTS = [
    b"GET /1 HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n",
    b"\r\n\r\nGET /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD /3 HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n",
    b"POST /4 HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n\r\n\r\nhi",
    b"PUT /5 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    b"POST /6 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
]
LAST = [
    b"",
    b"GET /",
    b"GET /7 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /8",
    b"GET /7\r\n\r\n",
    b"GET /7 HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n" + REQUESTS[0],
    b"POST /7 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + REQUESTS[0],
    b"POST /7 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy0\r\n\r\n" + REQUESTS[0],
]
KEEP_OPEN = [2, 0, 1, 1, 3, 4]
"""Such replies to REQUESTS."""


def talk(stream: bytes, replies: list[int], cuts: list[int]) -> tuple[list[tuple[bytes, bytes, bytes]], bytes]:
    """What the app understood, and what the client got."""

    async def main() -> Talk:
        talk = Talk(replies, cuts)
        await talk.hear(cut(stream, cuts))
        return talk

    done = asyncio.run(main())
    return done.understood, done.client.written


@pytest.mark.parametrize("stream", [b"".join(REQUESTS), *(REQUESTS[0] + last for last in LAST)])
def test_every_split_is_understood_alike(stream: bytes) -> None:
    whole = talk(stream, KEEP_OPEN, [])
    assert whole[0]
    for at in range(1, len(stream)):
        assert talk(stream, KEEP_OPEN, [at]) == whole, stream[:at]


@given(
    st.lists(st.sampled_from(REQUESTS), max_size=6),
    st.sampled_from(LAST),
    st.lists(st.integers(0, 10), min_size=1),
    st.lists(st.integers(0, 1000)),
)
@example(requests=[], last=LAST[-1], replies=[0], cuts=[LAST[-1].index(b"y0") + 1])
def test_any_pieces_are_understood_alike(
    requests: list[bytes], last: bytes, replies: list[int], cuts: list[int]
) -> None:
    stream = b"".join(requests) + last
    assert talk(stream, replies, cuts) == talk(stream, replies, [])


def test_every_byte_on_its_own_is_understood_alike() -> None:
    stream = b"".join(REQUESTS) + LAST[2]
    assert talk(stream, KEEP_OPEN, list(range(len(stream)))) == talk(stream, KEEP_OPEN, [])
