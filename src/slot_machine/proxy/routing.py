"""Where requests go: upstreams, claims on them, and requests that wait. Synchronous, so each call is one step."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from slot_machine.core.upstream import Counts, Upstream

if TYPE_CHECKING:
    from slot_machine.proxy.exchange import App

MOST_HELD = 10_000


class Cuttable(Protocol):
    """What ends with its upstream."""

    def cut(self) -> None: ...


class Route:
    """An upstream with what is in flight to it: its claims are the requests handed out and not yet released."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.claims: set[Cuttable] = set()
        self.idle: dict[str, list[App]] = {name: [] for name in upstream.addresses}
        self.counts = Counts()
        self.current = False
        self._when_drained: list[Callable[[], None]] = []

    def release(self, claim: Cuttable, *, finished: bool, stream: bool = False) -> None:
        """Ends a claim; a second time does nothing. Counted once the traffic has moved on."""
        if claim not in self.claims:
            return
        self.claims.discard(claim)
        if not self.current:
            if finished:
                self.counts.finished += 1
            else:
                self.counts.cut += 1
                self.counts.cut_streams += stream
        if not self.claims:
            waiting, self._when_drained = self._when_drained, []
            for callback in waiting:
                callback()

    def when_drained(self, callback: Callable[[], None]) -> None:
        if self.claims:
            self._when_drained.append(callback)
        else:
            callback()

    def drop_idle(self) -> None:
        for connections in self.idle.values():
            while connections:
                connections.pop().cut()


Waiter = Callable[["Route | None"], None]


class Router:
    """`claim` and `route` await nothing: a request is routed and counted in one step."""

    def __init__(self) -> None:
        self._routes: dict[int, Route] = {}
        self._current: Route | None = None
        self._holding = False
        self._waiting: deque[tuple[Cuttable, Waiter]] = deque()

    def route(self, upstream: Upstream | None) -> Upstream | None:
        """Makes `upstream` the one for new requests, lets held ones go on, and returns the one it replaced."""
        replaced = self._current
        if upstream is None:
            self._current = None
        else:
            self._current = self._routes.setdefault(upstream.id, Route(upstream))
        if replaced and replaced is not self._current:
            replaced.current = False
            replaced.drop_idle()
        if self._current:
            self._current.current = True
        self._holding = False
        while self._waiting:
            claim, waiter = self._waiting.popleft()
            if self._current:
                self._current.claims.add(claim)
                self._current.counts.held += 1
            waiter(self._current)
        return replaced.upstream if replaced else None

    def hold(self) -> None:
        self._holding = True

    def claim(self, claim: Cuttable, waiter: Waiter) -> None:
        """Hands `waiter` a route on which `claim` counts already, or None when nothing is live.

        At once, or when a hold ends.
        """
        if self._holding and len(self._waiting) < MOST_HELD:
            self._waiting.append((claim, waiter))
            return
        route = None if self._holding else self._current
        if route:
            route.claims.add(claim)
        waiter(route)

    def give_up(self, claim: Cuttable) -> None:
        """Takes a request out that waits no longer."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not claim)

    def when_drained(self, upstream_id: int, callback: Callable[[], None]) -> None:
        route = self._routes.get(upstream_id)
        if route:
            route.when_drained(callback)
        else:
            callback()

    def forget(self, upstream_id: int) -> Counts:
        """Cuts what is left of an upstream and returns what was counted of it."""
        route = self._routes.get(upstream_id)
        if not route:
            return Counts()
        route.drop_idle()
        for claim in list(route.claims):
            claim.cut()
        if route is not self._current:
            del self._routes[upstream_id]
        return route.counts
