"""Where requests go: upstreams, claims on them, and requests that wait. Synchronous, so each call is one step."""

import time
from collections.abc import Callable, MutableSequence
from typing import TYPE_CHECKING, Protocol

from slot_machine.core.upstream import Counts, Totals, Upstream
from slot_machine.proxy.pool import Pool

if TYPE_CHECKING:
    from slot_machine.proxy.outbound import AppConnection

MOST_HELD = 10_000
NO_SLOT = ""
"""Stands for the slot of requests that reached none."""


class Claim(Protocol):
    """A request in flight."""

    def claimed(self, route: "Route | None", /) -> None:
        """It counts on `route` from now on; with None, nothing is live."""

    def waits(self) -> None:
        """It will be told a route later."""

    def cut(self) -> None:
        """Its upstream is gone: it must release its claim, or move it."""

    def wind_up(self, within_s: float, /) -> None:
        """Its upstream stops: if it would go on forever, it ends cleanly within that time."""

    @property
    def endless(self) -> bool:
        """Whether it is a WebSocket or an event stream."""


class Route:
    """An upstream with what is in flight to it: its claims are the requests handed out and not yet released."""

    __slots__ = (
        "_gauge",
        "_switched_away_s",
        "_when_drained",
        "claims",
        "counts",
        "pools",
        "totals",
        "unwinds_at_s",
        "upstream",
    )

    def __init__(self, upstream: Upstream, totals: Totals, gauge: MutableSequence[int]) -> None:
        self.upstream = upstream
        self._gauge = gauge
        self.claims: set[Claim] = set()
        self.counts = Counts()
        self.totals = totals
        self.pools: dict[str, Pool[AppConnection]] = {
            name: Pool(address) for name, address in upstream.addresses.items()
        }
        self.unwinds_at_s: float | None = None
        """When what goes on forever is to be over."""
        self._switched_away_s: float | None = None
        self._when_drained: list[Callable[[], None]] = []

    @property
    def current(self) -> bool:
        return self._switched_away_s is None

    def release(self, claim: Claim, finished: bool) -> None:
        """Ends a claim; a second time does nothing. Counted once the traffic has moved on."""
        try:
            self.claims.remove(claim)
        except KeyError:
            return
        self._gauge[0] -= 1
        if self._switched_away_s is not None:
            self._count(claim, self._switched_away_s, finished=finished)
        if not self.claims and self._when_drained:
            self._tell_drained()

    def hand_over(self, claim: Claim) -> None:
        """Ends a claim that counts elsewhere by now: here it is neither finished nor cut."""
        self.claims.remove(claim)
        self._gauge[0] -= 1
        if not self.claims:
            self._tell_drained()

    def replayed(self) -> None:
        if not self.current:
            self.counts.replayed += 1

    def refused(self) -> None:
        if not self.current:
            self.counts.refused += 1

    def leave(self) -> None:
        """The traffic has moved on."""
        if self._switched_away_s is None:
            self._switched_away_s = time.monotonic()
        self.close_pools()

    def close_pools(self) -> None:
        """It gets no more requests. Some apps end only when their idle connections have."""
        for pool in self.pools.values():
            pool.close()

    def back(self) -> None:
        self._switched_away_s = None
        for pool in self.pools.values():
            pool.open()

    def when_drained(self, callback: Callable[[], None]) -> None:
        if self.claims:
            self._when_drained.append(callback)
        else:
            callback()

    def _tell_drained(self) -> None:
        waiting, self._when_drained = self._when_drained, []
        for callback in waiting:
            callback()

    def _count(self, claim: Claim, since_s: float, *, finished: bool) -> None:
        counts = self.counts
        counts.longest_drain_s = max(counts.longest_drain_s, time.monotonic() - since_s)
        if finished:
            counts.finished += 1
        else:
            counts.cut += 1
            counts.cut_streams += claim.endless


class Router:
    """`claim` and `route` await nothing: a request is routed and counted in one step."""

    def __init__(self, gauge: MutableSequence[int], most_held: int = MOST_HELD) -> None:
        """`gauge` is kept at the number of requests in flight, those that wait included."""
        self._most_held = most_held
        self._gauge = gauge
        self.totals: dict[str, Totals] = {NO_SLOT: Totals()}
        self._routes: dict[int, Route] = {}
        self._current: Route | None = None
        self.holding = False
        self._counts = Counts()
        """Of the hold that goes on."""
        self._waiting: dict[Claim, None] = {}

    @property
    def upstream(self) -> Upstream | None:
        """Where new requests go."""
        return self._current.upstream if self._current else None

    def route(self, upstream: Upstream | None) -> Counts:
        """Makes `upstream` the one for new requests, and lets held ones go on: the counts say what the hold did."""
        replaced = self._current
        self._current = self._route_to(upstream) if upstream else None
        if replaced and replaced is not self._current:
            replaced.leave()
        if self._current:
            self._current.back()
        self.holding = False
        counts, self._counts = self._counts, Counts()
        waiting, self._waiting = self._waiting, {}
        self._gauge[0] -= len(waiting)
        if upstream is None:
            counts.refused += len(waiting)
        for claim in waiting:
            self.claim(claim)
        return counts

    def hold(self) -> None:
        self.holding = True
        self.close_pools()

    def close_pools(self) -> None:
        """The current upstream is about to stop."""
        if self._current:
            self._current.close_pools()

    def claim(self, claim: Claim) -> None:
        """Tells `claim` a route on which it counts already, or None when nothing is live. At once, or after a hold."""
        route = self._current
        if self.holding:
            if len(self._waiting) < self._most_held:
                self._waiting[claim] = None
                self._counts.held += 1
                self._gauge[0] += 1
                claim.waits()
                return
            self._counts.refused += 1
            route = None
        if route is not None:
            route.claims.add(claim)
            self._gauge[0] += 1
        claim.claimed(route)

    def goes_elsewhere(self, route: Route) -> bool:
        """Whether a request of `route` that is claimed again gets another one, or waits for it."""
        return self.holding or self._current not in (None, route)

    def move(self, claim: Claim, route: Route) -> None:
        """Claims anew in place of `route`. In this order, so that it is in flight at every moment."""
        self.claim(claim)
        route.hand_over(claim)

    def give_up(self, claim: Claim, *, refused: bool) -> None:
        """Takes a request out that waits no longer, if it did."""
        if claim in self._waiting:
            del self._waiting[claim]
            self._gauge[0] -= 1
            self._counts.refused += refused

    def when_drained(self, run_id: int, callback: Callable[[], None]) -> None:
        route = self._routes.get(run_id)
        if route:
            route.when_drained(callback)
        else:
            callback()

    def unwind(self, run_id: int, over_s: float) -> None:
        """Ends what would go on forever, spread evenly over that time so that the clients don't all return at once."""
        route = self._routes.get(run_id)
        if not route:
            return
        route.unwinds_at_s = time.monotonic() + over_s
        endless = [claim for claim in route.claims if claim.endless]
        for number, claim in enumerate(endless, 1):
            claim.wind_up(over_s * number / len(endless))

    def forget(self, run_id: int) -> Counts:
        """Cuts what is left of an upstream and returns what was counted of it. Nothing is live if it was current."""
        route = self._routes.pop(run_id, None)
        if not route:
            return Counts()
        if route is self._current:
            self._current = None
        route.leave()
        for claim in list(route.claims):
            claim.cut()
        return route.counts

    def measure(self) -> dict[str, Totals]:
        """By slot."""
        for totals in self.totals.values():
            totals.in_flight = 0
        for route in self._routes.values():
            route.totals.in_flight += len(route.claims)
        self.totals[NO_SLOT].in_flight = len(self._waiting)
        return self.totals

    @property
    def connections(self) -> int:
        """To the app, at rest or of a request in flight. Each request that waits is about to want one."""
        current = self._current.pools.values() if self._current else ()
        return self._gauge[0] + sum(pool.at_rest for pool in current)

    def give_up_connection(self) -> bool:
        """Closes one at rest, if there is one."""
        return self._current is not None and any(pool.give_up() for pool in self._current.pools.values())

    def retire_idle(self, now_s: float) -> None:
        """Closes the app's connections that it is about to close itself."""
        if self._current:
            for pool in self._current.pools.values():
                pool.retire(now_s)

    def _route_to(self, upstream: Upstream) -> Route:
        route = self._routes.get(upstream.run_id)
        if route is None:
            totals = self.totals.setdefault(upstream.slot, Totals())
            route = self._routes[upstream.run_id] = Route(upstream, totals, self._gauge)
        return route
