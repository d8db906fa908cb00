"""The data plane as a whole: its listeners, its clients, its way to the app."""

import asyncio
import logging
import resource
import socket
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from math import inf
from time import monotonic

import msgspec

from slot_machine.proxy import gauge
from slot_machine.proxy.access_log import AccessLog
from slot_machine.proxy.exchange import Exchange
from slot_machine.proxy.heads.forwarded import TrustedProxies
from slot_machine.proxy.inbound import ClientConnection
from slot_machine.proxy.outbound import AppConnection
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.room import Room
from slot_machine.proxy.routing import MOST_HELD, NO_SLOT, Router
from slot_machine.proxy.wire import Settings

log = logging.getLogger(__name__)

BACKLOG = 4096
LAST_WORDS_S = 0.01
KEEP_ALIVE_PROBE_S = 60
SWEEP_INTERVAL_S = 0.25
SPARE_FILES = 0.25
"""The part of the file descriptors that is left to the daemon, to the log and to many that come at once."""


class DataPlaneServer:
    def __init__(self, settings: Settings) -> None:
        most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most_places = int(most_files * (1 - SPARE_FILES))
        # Each will want a connection to the app at the same moment.
        most_held = min(MOST_HELD, (most_files - most_places) // 2)
        self.router = Router(gauge.attach(settings.gauge_fd), most_held)
        limits = settings.limits
        self.limits = msgspec.structs.replace(limits, response_s=limits.response_s or inf)
        self.closing = False
        self.ending = False
        self.stopped = asyncio.Event()
        self.clients: set[ClientConnection] = set()
        self.room = Room(self.clients, self.router, most_places)
        self.controllers = 0
        self.sender = TrustedProxies(settings.trusted_proxies).sender
        self.access_log = AccessLog(settings.access_log, settings.access_log_mode) if settings.access_log else None
        self._settings = settings
        self._servers: list[asyncio.Server] = []
        self._retires = False
        self._seemed_over = False
        self._opening: set[asyncio.Task[None]] = set()

    async def listen(self, listeners: Mapping[str, socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for name, listener in listeners.items():
            # What it accepts inherits this: a client that vanished is noticed though nobody writes to it.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_PROBE_S)
            server = await loop.create_server(partial(ClientConnection, self, name), sock=listener, backlog=BACKLOG)
            self._servers.append(server)

    def connect(self, pool: "Pool[AppConnection]", exchange: Exchange) -> None:
        """Opens a connection for an exchange and tells it what came of that."""
        self.room.made(monotonic())
        task = asyncio.get_running_loop().create_task(self._connect(pool, exchange))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def observe_refusal(self, status: HTTPStatus, bytes_in: int, bytes_out: int) -> None:
        """Counts what was no request."""
        self.router.totals[NO_SLOT].observe(status, 0.0, bytes_in, bytes_out)
        if self.access_log:
            self.access_log.add_refusal(status, bytes_out)

    def introduction(self) -> Settings:
        """What another daemon than the one that gave the settings must know."""
        return msgspec.structs.replace(
            self._settings,
            listener_fds={} if self.closing else self._settings.listener_fds,
            upstream=self.router.upstream,
            targets={name: tuple(targets) for name, targets in self.router.targets.items()},
            holding=self.router.holding,
        )

    def retire(self) -> None:
        """Takes no more connections, and ends when those that there are have ended, each with its next reply."""
        self._retires = True
        self._accept_no_more()

    def close(self) -> None:
        """Takes no more connections, and closes those that wait for a next request. The daemon says when to end.

        If the daemon is gone, the worker ends with its last client.
        """
        self._accept_no_more()
        self.ending = True
        self.router.close_pools()
        for client in list(self.clients):
            client.close_if_idle()

    async def end_streams(self) -> None:
        """Tells WebSockets and event streams that it is over, as far as their clients listen."""
        for client in list(self.clients):
            if client.exchange and client.exchange.endless:
                client.exchange.end_cleanly()
        # One turn of the loop, in which it is written.
        await asyncio.sleep(LAST_WORDS_S)

    def cut(self) -> None:
        """Ends what is left, so that it is counted and logged before the process is gone."""
        self._accept_no_more()
        for client in list(self.clients):
            client.transport.abort()

    async def keep_limits(self) -> None:
        """Enforces every limit in time without a timer per request. Runs until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            self.sweep(monotonic())

    def sweep(self, now_s: float) -> None:
        for client in [client for client in self.clients if client.deadline_s < now_s or client.paused]:
            _keep_limits_of(client, now_s)
        self.router.retire_idle(now_s)
        self.room.forget(now_s)
        over = not self.clients and (self._retires or (self.ending and not self.controllers))
        # The second time, as the loop tells of a client one turn after it was accepted.
        if over and self._seemed_over:
            self.stopped.set()
        self._seemed_over = over

    async def keep_log(self) -> None:
        """Writes the access log, if there is one. Runs until cancelled."""
        if self.access_log:
            await self.access_log.keep()

    def _accept_no_more(self) -> None:
        self.closing = True
        for server in self._servers:
            server.close()

    async def _connect(self, pool: "Pool[AppConnection]", exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        address = pool.address
        try:
            _, app = await loop.create_connection(partial(AppConnection, pool), address.host, address.port)
        except OSError as error:
            if exchange.waits_for(pool):
                exchange.not_opened(error.strerror or str(error))
            return
        if exchange.waits_for(pool):
            exchange.opened(app)
        else:
            app.cut()


def _keep_limits_of(client: ClientConnection, now_s: float) -> None:
    """A defect here must cost one connection, not all of them."""
    try:
        if client.paused and client.left_unnoticed():
            client.transport.abort()
        elif client.deadline_s < now_s:
            client.expired(now_s)
    except Exception:
        log.exception("cannot end a connection as it should be")
        client.transport.abort()
