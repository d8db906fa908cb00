"""Where new requests go. Nothing here awaits, so each call is one step."""

import time
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from itertools import repeat
from typing import Generic

from slot_machine.core.upstream import Beside, Counts, Target, Totals, Upstream
from slot_machine.proxy.observer import NO_SLOT, Observers
from slot_machine.proxy.pool import L, Pool
from slot_machine.proxy.route import Claim, Route

MOST_HELD = 10_000


class Router(Generic[L]):
    """Routes and counts a request in one step, in `claim`.

    A listener with `targets` of its own sends its requests there; all other listeners send theirs to one upstream. What
    is `beside` that gets the requests that it has a claim to.
    """

    def __init__(self, gauge: MutableSequence[int], most_held: int = MOST_HELD) -> None:
        """`gauge` is kept at the number of requests in flight, including held ones."""
        self._most_held = most_held
        self._gauge = gauge
        self.observers = Observers()
        self._routes: dict[int, Route[L]] = {}
        """By run id."""
        self._live: set[Route[L]] = set()
        """Those that get new requests."""
        self.holding = False
        self._counts = Counts()
        """Of the current hold."""
        self._waiting: dict[Claim[L], None] = {}
        self._send(None, {}, None)

    @property
    def upstream(self) -> Upstream | None:
        """Where new requests go from listeners without targets of their own."""
        return self._upstream

    def route(
        self,
        upstream: Upstream | None,
        targets: Mapping[str, Sequence[Target]] | None = None,
        beside: Beside | None = None,
    ) -> Counts:
        """Sends new requests to `upstream`, or to the `targets` of their listener. Without either, they get a 503.

        Those that go `beside` go there in any case. Ends a hold, of which it returns the counts: held requests are
        routed now.
        """
        self._send(upstream, targets or {}, beside)
        self.holding = False
        counts, self._counts = self._counts, Counts()
        waiting, self._waiting = self._waiting, {}
        self._gauge[0] -= len(waiting)
        counts.refused += sum(not self._targets_of(claim) for claim in waiting)
        for claim in waiting:
            self.claim(claim)
        return counts

    def hold(self) -> None:
        """New requests wait for the next `route`."""
        self.holding = True
        self.close_pools()

    def close_pools(self) -> None:
        """What is live is about to stop."""
        for route in self._live:
            route.close_pools()

    def claim(self, claim: Claim[L]) -> None:
        """Tells `claim` a route on which it counts already, or None if nothing is live. At once, or after a hold."""
        route: Route[L] | None
        if not self.holding:
            if self.beside is not None and claim.goes_beside(self.beside):
                route = self._route_beside
            else:
                route = next(self._turns.get(claim.listener, self._turns_of_others))
        elif len(self._waiting) < self._most_held:
            self._waiting[claim] = None
            self._counts.held += 1
            self._gauge[0] += 1
            claim.waits()
            return
        else:
            self._counts.refused += 1
            route = None
        if route is not None:
            route.claims.add(claim)
            self._gauge[0] += 1
        claim.claimed(route)

    def goes_elsewhere(self, claim: Claim[L], route: Route[L]) -> bool:
        """Whether a request of `route` that is claimed again gets another one, or waits for it."""
        ids = [target.upstream.run_id for target in self._targets_of(claim)]
        return self.holding or (bool(ids) and route.upstream.run_id not in ids)

    def move(self, claim: Claim[L], route: Route[L]) -> None:
        """Claims anew in place of `route`. In this order, so that it is in flight at every moment."""
        self.claim(claim)
        route.hand_over(claim)

    def abandon(self, claim: Claim[L], *, refused: bool) -> None:
        """The request is over: it waits no longer, if it did."""
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
        """Ends WebSockets and event streams one by one over that time, so that clients don't all return at once."""
        route = self._routes.get(run_id)
        if not route:
            return
        route.unwinds_at_s = time.monotonic() + over_s
        endless = [claim for claim in route.claims if claim.endless]
        for number, claim in enumerate(endless, 1):
            claim.wind_up(over_s * number / len(endless))

    def forget(self, run_id: int) -> Counts:
        """Cuts the requests that are left of an upstream, and returns its counts. It gets no new ones."""
        route = self._routes.get(run_id)
        if not route:
            return Counts()
        if route in self._live:
            self._send(
                self._upstream if self._upstream and self._upstream.run_id != run_id else None,
                {listener: _without(run_id, targets) for listener, targets in self.targets.items()},
                self.beside if self.beside and self.beside.upstream.run_id != run_id else None,
            )
        del self._routes[run_id]
        route.leave()
        for claim in list(route.claims):
            claim.cut()
        return route.counts

    def measure(self) -> dict[str, Totals]:
        """By slot."""
        measured = self.observers.measure()
        for route in self._routes.values():
            measured[route.upstream.slot].in_flight += len(route.claims)
        measured[NO_SLOT].in_flight = len(self._waiting)
        return measured

    @property
    def connections(self) -> int:
        """To the app, idle ones and those of requests in flight. A held request counts, as it is about to need one."""
        return self._gauge[0] + sum(pool.at_rest for pool in self._pools())

    def close_idle_connection(self) -> bool:
        """Whether there was one to close."""
        return any(pool.close_longest_idle() for pool in self._pools())

    def retire_idle(self, now_s: float) -> None:
        """Closes idle connections that the app is about to close."""
        for pool in self._pools():
            pool.retire(now_s)

    def _pools(self) -> Iterator[Pool[L]]:
        return (pool for route in self._live for pool in route.pools.values())

    def _send(self, upstream: Upstream | None, targets: Mapping[str, Sequence[Target]], beside: Beside | None) -> None:
        """From now on, new requests go there."""
        self.targets = targets
        self.beside = beside
        self._upstream = upstream
        if not upstream and beside and beside.stands_in:
            upstream = beside.upstream
        self._others: Sequence[Target] = (Target(upstream),) if upstream else ()
        live = {self._route_to(target.upstream) for some in (self._others, *targets.values()) for target in some}
        self._route_beside = self._route_to(beside.upstream) if beside else None
        if self._route_beside:
            live.add(self._route_beside)
        for route in self._live - live:
            route.leave()
        for route in live:
            route.back()
        self._live = live
        self._turns_of_others = self._in_turn(self._others)
        self._turns = {listener: self._in_turn(own) for listener, own in targets.items()}

    def _targets_of(self, claim: Claim[L]) -> Sequence[Target]:
        if self.beside and claim.goes_beside(self.beside):
            return (Target(self.beside.upstream),)
        return self.targets.get(claim.listener, self._others)

    def _in_turn(self, targets: Sequence[Target]) -> Iterator[Route[L] | None]:
        """The routes of a listener's requests, one after the other."""
        weights = {self._route_to(target.upstream): target.weight for target in targets}
        if len(weights) > 1:
            return in_proportion(weights)
        return repeat(next(iter(weights), None))

    def _route_to(self, upstream: Upstream) -> Route[L]:
        route = self._routes.get(upstream.run_id)
        if route is None:
            observer = self.observers.of(upstream.slot)
            observer.forget_visitors()
            route = self._routes[upstream.run_id] = Route(upstream, observer, self._gauge)
        return route


def in_proportion(weights: Mapping[Route[L], int]) -> Iterator[Route[L]]:
    """Each as often as its weight says, evenly spread (smooth weighted round-robin, as in nginx)."""
    due = dict.fromkeys(weights, 0)
    total = sum(weights.values())
    while True:
        for route, weight in weights.items():
            due[route] += weight
        route = max(due, key=due.__getitem__)
        due[route] -= total
        yield route


def _without(run_id: int, targets: Sequence[Target]) -> Sequence[Target]:
    return [target for target in targets if target.upstream.run_id != run_id]
