"""Room for clients and for connections to the app: when all places are taken, the longest idle one makes way.

That is a connection to the app at rest, then a silent client, then a client whose request has begun.
"""

import logging
from collections.abc import Collection
from math import inf
from operator import itemgetter
from time import thread_time
from typing import NamedTuple, Protocol

log = logging.getLogger(__name__)

LOOK_SHARE = 0.05
"""Of the time, which looks at all clients may take on the CPU: newcomers may flood in."""

KEPT_S = 10.0
SAY_INTERVAL_S = 60.0


class Idleness(NamedTuple):
    """`since_s` grows with the time of the last activity."""

    request_has_begun: bool
    since_s: float


class Client(Protocol):
    @property
    def idleness(self) -> Idleness | None:
        """None while it asks something, or is about to be gone."""

    def make_way(self) -> bool:
        """Closes it, unless it asks something after all."""


class App(Protocol):
    """Of its connections, those at rest may be closed at any time."""

    @property
    def connections(self) -> int: ...

    def close_idle_connection(self) -> bool:
        """False if none is at rest."""


class Room:
    """`most` places, of which `clients` and the connections to `app` have taken theirs."""

    def __init__(self, clients: Collection[Client], app: App, most: int) -> None:
        self._clients = clients
        self._app = app
        self._most = most
        self._idle: list[tuple[Idleness, Client]] = []
        """At the last look; who makes way first comes last."""
        self._looked_s = self._said_s = self._look_again_s = -inf

    def made(self, now_s: float) -> bool:
        """Whether there is a place for another one."""
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
        """Lets go of clients that may be gone."""
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
