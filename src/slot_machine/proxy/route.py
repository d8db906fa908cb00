"""An upstream as the router keeps it, and the requests in flight to it."""

import time
from collections.abc import Callable, MutableSequence
from typing import Generic, Protocol

from slot_machine.core.upstream import Beside, Counts, Upstream
from slot_machine.proxy.observer import Observer
from slot_machine.proxy.pool import L, Pool


class Claim(Protocol[L]):
    """A request in flight. `listener` is the name of the listener at which its client came."""

    listener: str

    def claimed(self, route: "Route[L] | None", /) -> None:
        """It counts as in flight to `route` from now on. None: no upstream is live."""

    def goes_beside(self, beside: Beside, /) -> bool:
        """Whether it goes to the upstream beside the live one. Asked each time that it is claimed."""

    def waits(self) -> None:
        """`claimed` will be called later: requests are held."""

    def cut(self) -> None:
        """Its upstream is gone: it must release its claim, or move to another one."""

    def wind_up(self, within_s: float, /) -> None:
        """Its upstream is about to stop: an endless request is to end cleanly within that time."""

    @property
    def endless(self) -> bool:
        """Whether it is a WebSocket or an event stream."""


class Route(Generic[L]):
    """An upstream with the requests in flight to it, its `claims`, and a pool of connections for each listener.

    `unwinds_at_s` is when its endless requests are to be over; None while it is not about to stop.
    """

    __slots__ = (
        "_gauge",
        "_switched_away_s",
        "_when_drained",
        "claims",
        "counts",
        "observer",
        "pools",
        "unwinds_at_s",
        "upstream",
    )

    def __init__(self, upstream: Upstream, observer: Observer, gauge: MutableSequence[int]) -> None:
        self.upstream = upstream
        self._gauge = gauge
        self.claims: set[Claim[L]] = set()
        self.counts = Counts()
        self.observer = observer
        self.pools: dict[str, Pool[L]] = {name: Pool(address) for name, address in upstream.addresses.items()}
        self.unwinds_at_s: float | None = None
        self._switched_away_s: float | None = None
        self._when_drained: list[Callable[[], None]] = []

    @property
    def current(self) -> bool:
        return self._switched_away_s is None

    def release(self, claim: Claim[L], finished: bool) -> None:
        """Ends a claim, and counts it if the traffic has moved on. A second call does nothing."""
        try:
            self.claims.remove(claim)
        except KeyError:
            return
        self._gauge[0] -= 1
        if self._switched_away_s is not None:
            self._count(claim, self._switched_away_s, finished=finished)
        if not self.claims and self._when_drained:
            self._tell_drained()

    def hand_over(self, claim: Claim[L]) -> None:
        """Ends a claim that counts on another route by now: it is counted neither as finished nor as cut."""
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
        """New requests go elsewhere from now on."""
        if self.current:
            self._switched_away_s = time.monotonic()
        self.close_pools()

    def close_pools(self) -> None:
        """Closes idle connections, as some apps stop only when these are closed."""
        for pool in self.pools.values():
            pool.close()

    def back(self) -> None:
        """New requests come here from now on."""
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

    def _count(self, claim: Claim[L], since_s: float, *, finished: bool) -> None:
        counts = self.counts
        counts.longest_drain_s = max(counts.longest_drain_s, time.monotonic() - since_s)
        if finished:
            counts.finished += 1
        else:
            counts.cut += 1
            counts.cut_streams += claim.endless
