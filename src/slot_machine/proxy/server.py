"""A worker as a whole: its listeners, its clients, its end."""

import asyncio
import logging
import socket
from collections.abc import Mapping
from functools import partial
from time import monotonic, time

import msgspec

from slot_machine.core.upstream import PUBLIC
from slot_machine.proxy.inbound import ClientConnection
from slot_machine.proxy.shared import Client, Shared
from slot_machine.proxy.wire import Settings

log = logging.getLogger(__name__)

BACKLOG = 4096
WRITE_S = 0.01
"""Time for the event loop to write the last bytes."""
KEEP_ALIVE_PROBE_S = 60
SWEEP_INTERVAL_S = 0.25


class DataPlaneServer:
    def __init__(self, settings: Settings, shared: Shared) -> None:
        self.shared = shared
        self.stopped = asyncio.Event()
        self.controllers = 0
        self._settings = settings
        self._servers: list[asyncio.Server] = []
        self._retires = False
        self._seemed_over = False

    async def listen(self, listeners: Mapping[str, socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for name, listener in listeners.items():
            # Accepted sockets inherit this, so a client that vanished is noticed even if nothing is written to it.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_PROBE_S)
            if name == PUBLIC:
                self.shared.port = listener.getsockname()[1]
            accept = partial(ClientConnection, self.shared, name)
            self._servers.append(await loop.create_server(accept, sock=listener, backlog=BACKLOG))

    def introduction(self) -> Settings:
        """The settings as they are now, for another daemon than the one that gave them."""
        return msgspec.structs.replace(
            self._settings,
            listener_fds={} if self.shared.closing else self._settings.listener_fds,
            upstream=self.shared.router.upstream,
            targets={name: tuple(targets) for name, targets in self.shared.router.targets.items()},
            holding=self.shared.router.holding,
            beside=self.shared.router.beside,
            maintenance=self.shared.maintenance,
            minutes=True,
        )

    def retire(self) -> None:
        """Accepts no more connections. Each is closed with its next reply, and after the last one the process ends."""
        self._retires = True
        self._accept_no_more()

    def close(self) -> None:
        """Accepts no more connections, and closes idle ones. The daemon says when to end.

        If the daemon is gone, the worker exits when its last client leaves.
        """
        self._accept_no_more()
        self.shared.ending = True
        self.shared.router.close_pools()
        for client in list(self.shared.clients):
            client.close_if_idle()

    async def end_streams(self) -> None:
        """Ends WebSockets and event streams in their protocols, as far as their clients read that in time."""
        for client in list(self.shared.clients):
            if client.exchange and client.exchange.endless:
                client.exchange.end_cleanly()
        await asyncio.sleep(WRITE_S)

    def cut(self) -> None:
        """Aborts what is left, so that it is counted and logged before the process exits."""
        self._accept_no_more()
        for client in list(self.shared.clients):
            client.transport.abort()

    async def keep_limits(self) -> None:
        """Enforces every time limit, without a timer for each request. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            self.sweep(monotonic())

    def sweep(self, now_s: float) -> None:
        for client in [client for client in self.shared.clients if client.deadline_s < now_s or client.paused]:
            _keep_limits_of(client, now_s)
        self.shared.router.retire_idle(now_s)
        self.shared.room.forget(now_s)
        self.shared.router.observers.tick(time())
        over = not self.shared.clients and (self._retires or (self.shared.ending and not self.controllers))
        # Only in the second sweep: the event loop reports a client one iteration after it has accepted it.
        if over and self._seemed_over:
            self.stopped.set()
        self._seemed_over = over

    async def keep_log(self) -> None:
        """Writes the access log, if there is one. Runs until it is cancelled."""
        if self.shared.access_log:
            await self.shared.access_log.keep()

    def _accept_no_more(self) -> None:
        self.shared.closing = True
        for server in self._servers:
            server.close()


def _keep_limits_of(client: Client, now_s: float) -> None:
    """An exception here must cost one connection, not all of them."""
    try:
        if client.paused and client.left_unnoticed():
            client.transport.abort()
        elif client.deadline_s < now_s:
            client.expired(now_s)
    except Exception:
        log.exception("cannot end a connection as it should be")
        client.transport.abort()
