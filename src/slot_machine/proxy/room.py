"""A limit for the number of connections: when it is reached, an idle one is closed for a new one.

The first to go are idle connections to the app, then clients that ask nothing, then clients whose request has begun.
Of these, the longest idle one goes.
"""

import logging
from collections.abc import Collection
from math import inf
from operator import itemgetter
from time import thread_time
from typing import NamedTuple, Protocol

log = logging.getLogger(__name__)

LOOK_SHARE = 0.05
"""The part of the CPU's time that looks at all clients may take, however many new ones come."""

KEPT_S = 10.0
SAY_INTERVAL_S = 60.0


class Idleness(NamedTuple):
    """`since_s` is in the order of the last activity."""

    request_has_begun: bool
    since_s: float


class Client(Protocol):
    @property
    def idleness(self) -> Idleness | None:
        """None while it has a request, or is closing."""

    def make_way(self) -> bool:
        """Closes it, unless a request has come. Returns whether it did."""


class App(Protocol):
    """The app's connections, of which idle ones may be closed."""

    @property
    def connections(self) -> int: ...

    def close_idle_connection(self) -> bool:
        """Whether there was one to close."""


class Room:
    """At most `most` connections: of `clients`, and to `app`."""

    def __init__(self, clients: Collection[Client], app: App, most: int) -> None:
        self._clients = clients
        self._app = app
        self._most = most
        self._idle: list[tuple[Idleness, Client]] = []
        """Clients that were idle at the last look. The first to go comes last."""
        self._looked_s = self._said_s = self._look_again_s = -inf

    def made(self, now_s: float) -> bool:
        """Whether there is room for one more, which may be made by closing an idle one."""
        if len(self._clients) + self._app.connections < self._most or self._app.close_idle_connection():
            return True
        self._say(now_s)
        if self._one_makes_way():
            return True
        if now_s < self._look_again_s:
            return False
        self._look(now_s)
        return self._one_makes_way()

    def forget(self, now_s: float) -> None:
        """Drops what is kept of the last look, as its clients may be gone."""
        if now_s - self._looked_s > KEPT_S:
            self._idle.clear()

    def _look(self, now_s: float) -> None:
        began_s = thread_time()
        all_of_them = ((client.idleness, client) for client in self._clients)
        idle = [(idleness, client) for idleness, client in all_of_them if idleness is not None]
        silent = [(idleness, client) for idleness, client in idle if not idleness.request_has_begun]
        self._idle = sorted(silent or idle, key=itemgetter(0), reverse=True)
        self._looked_s = now_s
        self._look_again_s = now_s + (thread_time() - began_s) / LOOK_SHARE

    def _one_makes_way(self) -> bool:
        while self._idle:
            idleness, client = self._idle.pop()
            if client.idleness == idleness and client.make_way():
                return True
        return False

    def _say(self, now_s: float) -> None:
        if now_s - self._said_s > SAY_INTERVAL_S:
            self._said_s = now_s
            log.warning(
                "all %d places are taken, by %d clients and by connections to the app, so idle clients make way; "
                "raise `ulimit -n`",
                self._most,
                len(self._clients),
            )
