"""An app that answers what h11 takes for a whole request, with a client whose bytes arrive in given pieces."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator

import h11

from slot_machine.core.upstream import PUBLIC, Address, Upstream
from slot_machine.proxy.exchange import Connection, Exchange
from slot_machine.proxy.inbound import ClientConnection
from slot_machine.proxy.outbound import AppConnection
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.server import DataPlaneServer
from slot_machine.proxy.shared import Shared
from slot_machine.proxy.wire import Settings
from tests.proxy.in_memory import Wire

CHUNKS = b"3;a=b\r\n\r\n0\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"
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

TURNS = 30
"""Of the event loop: more than a conversation needs to go as far as it can."""


class Talk(Shared):
    """A client's connection, and an app that answers what h11 takes for a whole request: `replies` say with which."""

    def __init__(self, replies: list[int], cuts: list[int]) -> None:
        super().__init__(Settings())
        self.server = DataPlaneServer(Settings(), self)
        self.understood: list[tuple[bytes, bytes, bytes]] = []
        self._replies = itertools.cycle(replies)
        self._cuts = cuts
        self._apps: list[tuple[AppConnection, Wire, h11.Connection]] = []
        self.router.route(Upstream(1, "a", {PUBLIC: Address("127.0.0.1", 1)}))
        self.client = Wire()

    def connect(self, pool: Pool[Connection], exchange: Exchange) -> None:
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
