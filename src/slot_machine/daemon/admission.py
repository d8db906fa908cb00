"""How many connections the API holds: bounded, so that the daemon's own work always finds file descriptors."""

import asyncio
import resource
import socket
from typing import cast

from aiohttp import web

from slot_machine.daemon.api import Api

MOST_CONNECTIONS = 256
BACKLOG = 128
"""As many may come in one turn of the loop, beyond what is bounded."""

FIRST_REQUEST_S = 1.0
POLL_S = 0.01

LARGEST_PART = 0.25
"""Of the file descriptors, for each listening socket: clients of one take no places from those of the other."""


class Admission(web.BaseSite):
    """The API on a listening socket, which stays open.

    With all places taken, the oldest connection that asks nothing makes room.
    """

    def __init__(self, runner: web.AppRunner, listener: socket.socket, api: Api) -> None:
        super().__init__(runner)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = min(MOST_CONNECTIONS, int(files * LARGEST_PART))
        self._listener = listener
        self._api = api
        self._held: dict[Connection, None] = {}

    @property
    def name(self) -> str:
        return f"the API on {self._listener.getsockname()}"

    async def start(self) -> None:
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(
            self._connection, sock=self._listener.dup(), backlog=BACKLOG
        )

    async def stop(self) -> None:
        """Takes no more connections, and answers those that came before: their requests may still be on their way.

        asyncio drops a connection that it has accepted, and not yet made a transport of, when its server is closed.
        """
        if isinstance(self._server, asyncio.Server):
            for listener in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            await asyncio.sleep(POLL_S)
        await super().stop()
        for _ in range(round(FIRST_REQUEST_S / POLL_S)):
            await asyncio.sleep(POLL_S)
            if all(held.handler in self._api.served for held in self._held):
                break

    def _connection(self) -> "Connection":
        server = self._runner.server
        assert server is not None
        connection = Connection(server(), self._held, self._api)
        self._held[connection] = None
        if len(self._held) > self._most:
            next((held for held in self._held if not self._api.is_asked(held.handler)), connection).end()
        return connection


class Connection(asyncio.Protocol):
    """What aiohttp makes of one is its `handler`."""

    def __init__(self, handler: asyncio.Protocol, held: "dict[Connection, None]", api: Api) -> None:
        self.handler = handler
        self._held = held
        self._api = api
        self._transport: asyncio.Transport | None = None

    def end(self) -> None:
        del self._held[self]
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.handler.connection_made(transport)
        if self not in self._held:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._held.pop(self, None)
        self._api.served.discard(self.handler)
        self.handler.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self.handler.eof_received()

    def pause_writing(self) -> None:
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self.handler.resume_writing()
