"""The data plane as a whole: its listeners, its clients, its way to the app."""

import asyncio
import logging
import socket
from collections.abc import Mapping
from functools import partial

from slot_machine.core.upstream import Address
from slot_machine.proxy.exchange import Exchange
from slot_machine.proxy.inbound import ClientConnection
from slot_machine.proxy.outbound import AppConnection
from slot_machine.proxy.routing import Router

log = logging.getLogger(__name__)

BACKLOG = 4096
SWEEP_INTERVAL_S = 1.0


class DataPlaneServer:
    def __init__(self, response_timeout_s: float, hold_timeout_s: float) -> None:
        self.router = Router()
        self.response_timeout_s = response_timeout_s
        self.hold_timeout_s = hold_timeout_s
        self.closing = False
        self.clients: set[ClientConnection] = set()
        self._servers: list[asyncio.Server] = []
        self._opening: set[asyncio.Task[None]] = set()

    async def listen(self, listeners: Mapping[str, socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for name, listener in listeners.items():
            server = await loop.create_server(partial(ClientConnection, self, name), sock=listener, backlog=BACKLOG)
            self._servers.append(server)

    def connect(self, address: Address, exchange: Exchange) -> "asyncio.Task[None]":
        """Opens a connection for an exchange and tells it what came of that."""
        task = asyncio.get_running_loop().create_task(self._connect(address, exchange))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return task

    def close(self) -> None:
        """Takes no more connections, and closes those that wait for a next request."""
        self.closing = True
        for server in self._servers:
            server.close()
        for client in list(self.clients):
            client.close_if_idle()

    async def sweep(self) -> None:
        """Enforces every limit in time, to the second, without a timer per request."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            for client in list(self.clients):
                client.check_time(loop.time())

    async def _connect(self, address: Address, exchange: Exchange) -> None:
        try:
            _, app = await asyncio.get_running_loop().create_connection(AppConnection, address.host, address.port)
        except OSError as error:
            exchange.not_opened(error.strerror or str(error))
        else:
            exchange.opened(app)
