"""Whole conversations in memory, where each piece arrives as it was cut: a socket may join what was sent apart."""

import asyncio
import itertools
import socket
from collections.abc import Iterable, Iterator
from types import SimpleNamespace

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slot_machine.core.upstream import PUBLIC, Address, Upstream
from slot_machine.proxy.exchange import Exchange
from slot_machine.proxy.inbound import ClientConnection
from slot_machine.proxy.outbound import AppConnection
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.server import DataPlaneServer
from slot_machine.proxy.wire import Settings

CHUNKS = b"3;a=b\r\n\r\n0\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"
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
REPLIES = {
    b"GET": [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
    ],
    b"HEAD": [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
}
KEEP_OPEN = [2, 0, 1, 1, 3, 4]
"""Such replies to REQUESTS."""

OURS, THEIRS = socket.socketpair()
NOTHING_TO_READ = OURS.fileno()

TURNS = 30
"""Of the event loop: more than a conversation needs to go as far as it can."""


class Wire(asyncio.Transport):
    """Takes everything at once."""

    def __init__(self, fd: int = NOTHING_TO_READ) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "socket": SimpleNamespace(fileno=lambda: fd)})
        self.written = b""
        self.paused = False
        self.closed = False
        self.protocol: asyncio.BaseProtocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closed:
            self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def write_eof(self) -> None:
        pass


class Talk(DataPlaneServer):
    """A client's connection, and an app that answers what h11 takes for a whole request: `replies` say with which."""

    def __init__(self, replies: list[int], cuts: list[int]) -> None:
        super().__init__(Settings())
        self.understood: list[tuple[bytes, bytes, bytes]] = []
        self._replies = itertools.cycle(replies)
        self._cuts = cuts
        self._apps: list[tuple[AppConnection, Wire, h11.Connection]] = []
        self.router.route(Upstream(1, "a", {PUBLIC: Address("127.0.0.1", 1)}))
        self.client = Wire()

    def connect(self, pool: "Pool[AppConnection]", exchange: Exchange) -> None:
        app, wire = AppConnection(pool), Wire()
        app.connection_made(wire)
        self._apps.append((app, wire, h11.Connection(h11.SERVER)))
        asyncio.get_running_loop().call_soon(exchange.opened, app)

    async def hear(self, pieces: Iterable[bytes]) -> None:
        connection = ClientConnection(self, PUBLIC)
        connection.connection_made(self.client)
        for piece in pieces:
            for _ in range(TURNS):
                await self._settle()
                if not self.client.paused:
                    break
            if self.client.closed:
                break
            assert not self.client.paused
            connection.data_received(piece)
        for _ in range(TURNS):
            await self._settle()

    async def _settle(self) -> None:
        await asyncio.sleep(0)
        for app, wire, parser in self._apps:
            if wire.written:
                data, wire.written = wire.written, b""
                parser.receive_data(data)
                self._answer(app, wire, parser)

    def _answer(self, app: AppConnection, wire: Wire, parser: h11.Connection) -> None:
        """A request that is not whole yet stays with the parser."""
        while parser.their_state is not h11.DONE:
            event = parser.next_event()
            if isinstance(event, h11.Request):
                self._request, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif event is h11.NEED_DATA:
                return
        self.understood.append((self._request.method, self._request.target, self._body))
        parser.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        parser.send(h11.EndOfMessage())
        parser.start_next_cycle()
        kind = b"HEAD" if self._request.method == b"HEAD" else b"GET"
        for piece in cut(REPLIES[kind][next(self._replies) % len(REPLIES[kind])], self._cuts):
            if not wire.closed:
                app.data_received(piece)


def cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return (data[start:stop] for start, stop in itertools.pairwise(edges))


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
