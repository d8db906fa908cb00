"""Idle connections to the app, and what is known of how long it keeps them."""

from typing import Generic, Protocol, TypeVar

from slot_machine.core.upstream import Address
from slot_machine.proxy.sockets import readable

MOST_IDLE = 512
LONGEST_IDLE_S = 60.0
MARGIN = 0.8
"""Of the time that an app keeps connections, the part in which they are used again."""

GROWTH = 1.5
"""What was learnt from a connection that the app closed grows by this each time that one lives longer."""

SHORTEST_IDLE_S = 1.0
"""A connection that ended sooner says nothing of the others: its process may have been recycled."""

LOOK_AFTER_S = 0.05
"""A connection that rested for longer is looked at before it is used: the event loop may not know of its end yet."""


class AppLink(Protocol):
    """A connection to the app, while it is idle. `idle_since_s` is the pool's."""

    idle_since_s: float

    def fileno(self) -> int: ...
    def cut(self) -> None: ...


L = TypeVar("L", bound=AppLink)


class Pool(Generic[L]):
    """The latest comes first, so that those in excess rest until they are closed. One per listener of an upstream.

    An app says how long it keeps idle connections (Keep-Alive: timeout), or shows it by closing one. It may have other
    reasons to close one, so what it showed is outgrown by connections that live longer.
    """

    __slots__ = ("_closed", "_idle", "_kept_s", "_promised", "address")

    def __init__(self, address: Address) -> None:
        self.address = address
        self._idle: list[L] = []
        self._kept_s = LONGEST_IDLE_S
        self._promised = False
        self._closed = False

    def take(self, now_s: float, repeatable: bool) -> L | None:
        """A connection that looks open.

        A request that can't be repeated gets none, unless the app promised to keep it open for at least as long again.
        """
        if repeatable:
            usable_s = self._kept_s
        elif self._promised:
            usable_s = self._kept_s / 2
        else:
            return None
        idle = self._idle
        while idle:
            rested_s = now_s - idle[-1].idle_since_s
            if rested_s > usable_s:
                return None
            connection = idle.pop()
            if rested_s < LOOK_AFTER_S and repeatable:
                return connection
            # On a connection at rest that is its end, or what nobody asked for.
            if not readable(connection.fileno()):
                if not self._promised and rested_s > self._kept_s / 2:
                    self._kept_s = min(LONGEST_IDLE_S, self._kept_s * GROWTH)
                return connection
            self._learn(max(rested_s, SHORTEST_IDLE_S))
            connection.cut()
        return None

    def put(self, connection: L, now_s: float, promised_s: float | None, repeatable: bool = True) -> None:
        """`promised_s`: what the app's last reply said of this connection; `repeatable`: its request.

        One request after the other that can't take a connection from here would each add one, so only one is kept.
        """
        if promised_s is not None:
            self._promised = True
            self._learn(promised_s)
        most = MOST_IDLE if repeatable or self._promised else 1
        if self._closed or len(self._idle) >= most:
            connection.cut()
            return
        connection.idle_since_s = now_s
        self._idle.append(connection)

    def lost(self, connection: L, now_s: float) -> None:
        """The app closed one that rested here."""
        if connection in self._idle:
            self._idle.remove(connection)
            self._learn(max(now_s - connection.idle_since_s, SHORTEST_IDLE_S))

    def retire(self, now_s: float) -> None:
        """Closes those that the app is about to close."""
        while self._idle and now_s - self._idle[0].idle_since_s > self._kept_s:
            self._idle.pop(0).cut()

    @property
    def at_rest(self) -> int:
        return len(self._idle)

    def close_longest_idle(self) -> bool:
        """Whether there was one to close."""
        if self._idle:
            self._idle.pop(0).cut()
            return True
        return False

    def open(self) -> None:
        self._closed = False

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().cut()

    def _learn(self, kept_s: float) -> None:
        self._kept_s = min(self._kept_s, kept_s * MARGIN)
