"""What the connections of a data plane share: limits, the way to the app, counts."""

import asyncio
import resource
import time
from functools import partial
from http import HTTPStatus
from math import inf
from pathlib import Path
from time import monotonic
from typing import Protocol

import msgspec

from slot_machine.core.upstream import INTERNAL, PREVIEW
from slot_machine.proxy import gauge, preview, room, sides
from slot_machine.proxy.access_log import AccessLog, Finished
from slot_machine.proxy.exchange import Connection, Exchange
from slot_machine.proxy.heads.forwarded import Sender, TrustedProxies
from slot_machine.proxy.maintenance import Barrier
from slot_machine.proxy.outbound import AppConnection
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.room import Room
from slot_machine.proxy.routing import MOST_HELD, Router
from slot_machine.proxy.share import Visitors
from slot_machine.proxy.waiting import Waiting
from slot_machine.proxy.wire import Maintenance, Settings

SPARE_FILES = 0.25
"""The part of the file descriptors that is left to the daemon, to the log and to many that come at once."""


class Client(room.Client, Protocol):
    """A client's connection, as the server knows it.

    `deadline_s` is when `expired` must be called: a sweep does it, so no request needs a timer.
    `paused`: it is not read.
    """

    transport: asyncio.Transport
    exchange: Exchange | None
    deadline_s: float
    paused: bool

    def expired(self, now_s: float, /) -> None: ...
    def left_unnoticed(self) -> bool: ...
    def close_if_idle(self) -> None: ...


class Shared:
    """`closing`: each reply is the last of its connection, and says so. `ending`: idle connections are closed."""

    def __init__(self, settings: Settings) -> None:
        most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most_places = int(most_files * (1 - SPARE_FILES))
        # When a hold ends, each held request needs a connection to the app at the same moment.
        most_held = min(MOST_HELD, (most_files - most_places) // 2)
        self.router: Router[Connection] = Router(gauge.attach(settings.gauge_fd), most_held)
        self.router.route(settings.upstream, settings.targets, settings.beside)
        if settings.holding:
            self.router.hold()
        limits = settings.limits
        self.limits = msgspec.structs.replace(limits, response_s=limits.response_s or inf)
        self.waiting = Waiting(self.limits)
        self.reply_s = self.waiting.for_reply.limit_s or 0.0
        self.closing = False
        self.ending = False
        self.clients: set[Client] = set()
        self.room = Room(self.clients, self.router, most_places)
        file = settings.edge_secret_file
        secret = Path(file).read_bytes().strip() if file else b""
        self.sender = TrustedProxies(settings.trusted_proxies, secret).sender
        self.access_log: AccessLog | None = None
        if path := settings.access_log:
            self.access_log = AccessLog(path, settings.access_log_mode, combined=settings.access_log_combined)
        self.port = 0
        """The public one."""
        self.visitors = Visitors()
        self._opening: set[asyncio.Task[None]] = set()
        self.maintain(settings.maintenance)

    def maintain(self, maintenance: Maintenance | None) -> None:
        """From now on, or no longer. Each request calls `claim`, so without maintenance there is nothing to ask."""
        self.maintenance = maintenance
        self.claim = Barrier(self.router, maintenance).claim if maintenance else self.router.claim

    def claim_with_ours(self, exchange: Exchange) -> None:
        """In place of `claim`, for a request with tokens of previews or with the cookie of a share.

        A preview passes maintenance.
        """
        head, listener, beside = exchange.head, exchange.listener, self.router.beside
        if head.tokens is not None and listener != INTERNAL:
            sender = exchange.client.sender
            if page := preview.page(head, sender, beside, self.port):
                exchange.answer(page.status, lambda on: page.make(on.connection_field, on.head_only))
                return
            if preview.bears(head.tokens, beside):
                self.router.claim(exchange)
                return
            exchange.rule = preview.expired(head, sender, self.port)
        if beside is None and exchange.rule is None and listener not in (INTERNAL, PREVIEW):
            sides.end_share(exchange)
        self.claim(exchange)

    def connect(self, pool: Pool[Connection], exchange: Exchange) -> None:
        """Opens a connection for an exchange, and tells it the outcome."""
        self.room.made(monotonic())
        task = asyncio.get_running_loop().create_task(self._connect(pool, exchange))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def observe_error(self, status: HTTPStatus, bytes_in: int, bytes_out: int, sender: Sender) -> None:
        """Counts and logs what could not be parsed as a request."""
        self.router.observers.of_no_slot.totals.observe(status, 0.0, bytes_in, bytes_out)
        if self.access_log:
            self.access_log.add(Finished(time.time(), "", "", status, bytes_out, client=sender.client()))

    async def _connect(self, pool: Pool[Connection], exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        address = pool.address
        try:
            _, app = await loop.create_connection(partial(AppConnection, pool), address.host, address.port)
        except OSError as error:
            if exchange.waits_for(pool):
                exchange.not_opened(error.strerror or str(error))
            return
        if exchange.waits_for(pool):
            exchange.sent_s = monotonic()
            exchange.opened(app)
        else:
            app.cut()
