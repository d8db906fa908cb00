"""Idle connections to the app, and how long the app keeps them open."""

from typing import Generic, Protocol, TypeVar

from slot_machine.core.upstream import Address
from slot_machine.proxy.sockets import readable

MOST_IDLE = 512
LONGEST_IDLE_S = 60.0
MARGIN = 0.8
"""Connections are reused in this part of the time for which the app keeps them."""

GROWTH = 1.5
"""The known time is multiplied by this each time a connection turns out to live longer."""

SHORTEST_IDLE_S = 1.0
"""A connection that ended sooner tells nothing of others: the app may have restarted its process."""

LOOK_AFTER_S = 0.05
"""After this time the kernel is asked whether a connection has ended: the event loop may not know yet."""


class AppLink(Protocol):
    """A connection to the app, while it is idle. `idle_since_s` is the pool's."""

    idle_since_s: float

    def fileno(self) -> int: ...
    def cut(self) -> None: ...


L = TypeVar("L", bound=AppLink)


class Pool(Generic[L]):
    """The pool of one listener of an upstream. The latest connection is reused first, so that others can age out.

    The app may say how long it keeps idle connections (Keep-Alive: timeout). Else the time is learnt when it closes
    one. As it may have other reasons to close, the learnt time grows again when connections live longer.
    """

    __slots__ = ("_closed", "_idle", "_kept_s", "_promised", "address")

    def __init__(self, address: Address) -> None:
        self.address = address
        self._idle: list[L] = []
        self._kept_s = LONGEST_IDLE_S
        self._promised = False
        self._closed = False

    def take(self, now_s: float, repeatable: bool) -> L | None:
        """A connection that looks open; None if a new one is to be opened.

        A request that can't be repeated gets one only if the app promised to keep it open for at least as long again.
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
            # Readable: it has ended, or the app sent bytes without a request.
            if not readable(connection.fileno()):
                if not self._promised and rested_s > self._kept_s / 2:
                    self._kept_s = min(LONGEST_IDLE_S, self._kept_s * GROWTH)
                return connection
            self._learn(max(rested_s, SHORTEST_IDLE_S))
            connection.cut()
        return None

    def put(self, connection: L, now_s: float, promised_s: float | None, repeatable: bool = True) -> None:
        """`promised_s`: how long the app keeps it, as the last reply said. `repeatable`: whether its request could be.

        Without the app's promise, a request that can't be repeated adds a connection and takes none. So its connection
        is kept only in an empty pool.
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
        """The app closed it. Nothing is learnt if it was in use."""
        if connection in self._idle:
            self._idle.remove(connection)
            self._learn(max(now_s - connection.idle_since_s, SHORTEST_IDLE_S))

    def retire(self, now_s: float) -> None:
        """Closes connections that the app is about to close."""
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
