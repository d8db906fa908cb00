"""A run of the app as the data plane knows it, and what the data plane counts of it."""

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import zip_longest

import msgspec

PUBLIC = "public"
INTERNAL = "internal"
PREVIEW = "preview"

LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets. One more bucket has the requests that took longer."""

CUT = 0
"""In place of a status: the client got no reply, or only a part of it."""


class Address(msgspec.Struct, frozen=True):
    """A TCP address on loopback: `host` is `127.0.0.1` or `::1`."""

    host: str
    port: int


class Upstream(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run of the app. `addresses`: where it listens for the requests of each listener."""

    run_id: int = msgspec.field(name="id")
    slot: str
    addresses: dict[str, Address]
    health_path: str = ""
    """Where its health is asked for; empty if an earlier release has started it, which did not tell."""


class Target(msgspec.Struct, frozen=True):
    """An upstream that gets a share of a listener's requests, in proportion to `weight`, which is at least 1."""

    upstream: Upstream
    weight: int = 1


class Beside(msgspec.Struct, frozen=True, omit_defaults=True):
    """An upstream that runs beside the live one: a candidate, or the old version while the new one is watched."""

    upstream: Upstream
    token: str = ""
    """A request that bears it goes there; empty if none may."""
    share: int = 0
    """Of 10,000 visitors, so many go there."""
    share_id: str = ""
    """Which share that is: a visitor's number is valid for this one only."""
    cookie: str = ""
    """The app's own cookie whose value decides in place of a number; empty for none."""
    cookie_values: tuple[str, ...] = ()
    """Visitors with one of these go there."""
    stands_in: bool = False
    """Whether it gets requests that the live upstream does not take, and all of them while nothing is live."""


class Counts(msgspec.Struct):
    """What became of the requests of an upstream after new ones went elsewhere."""

    finished: int = 0
    """Requests in flight at the switch that were answered in full after it."""
    replayed: int = 0
    """Requests sent again, to the version that was live then, because the app's connection ended without a reply."""
    held: int = 0
    """Requests that waited for the next upstream while nothing was routed (`strategy: replace`)."""
    refused: int = 0
    """Requests answered 502, 503 or 504 by the proxy itself: for an upstream, or because a hold ended without one."""
    cut: int = 0
    """Requests that ended before their reply did; includes `cut_streams`."""
    cut_streams: int = 0
    """Those of `cut` that were WebSockets or event streams. Their clients were told that the stream ends."""
    longest_drain_s: float = 0.0
    """From the switch to the end of the request that took longest."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            finished=self.finished + other.finished,
            replayed=self.replayed + other.replayed,
            held=self.held + other.held,
            refused=self.refused + other.refused,
            cut=self.cut + other.cut,
            cut_streams=self.cut_streams + other.cut_streams,
            longest_drain_s=max(self.longest_drain_s, other.longest_drain_s),
        )


@dataclass(slots=True)
class Totals:
    """All requests of a slot since the worker started. Everything but `in_flight` only grows.

    It is no msgspec.Struct, as setting a field of one takes longer, and several are set for each request.
    """

    by_class: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(6), 0))
    """Requests by the first digit of their status. `CUT` is the key of those without a whole reply."""
    in_flight: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    misnamed_fields: int = 0
    """Fields of requests that were not passed on, because an app could take them for others."""
    times: list[int] = field(default_factory=list)
    """Requests by `core.minutes.BOUNDS_S`; those of WebSockets and event streams by the time to their heads. Empty in
    workers of earlier releases."""
    errors: int = 0
    """Those answered 5xx, or cut short by the app."""

    def observe(self, status: int, seconds: float, bytes_in: int, bytes_out: int) -> None:
        self.by_class[status // 100] += 1
        self.latency[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self.seconds += seconds
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out

    def __add__(self, other: "Totals") -> "Totals":
        classes = self.by_class.keys() | other.by_class.keys()
        return Totals(
            by_class={key: self.by_class.get(key, 0) + other.by_class.get(key, 0) for key in classes},
            in_flight=self.in_flight + other.in_flight,
            latency=[mine + its for mine, its in zip(self.latency, other.latency, strict=True)],
            seconds=self.seconds + other.seconds,
            bytes_in=self.bytes_in + other.bytes_in,
            bytes_out=self.bytes_out + other.bytes_out,
            misnamed_fields=self.misnamed_fields + other.misnamed_fields,
            times=[mine + its for mine, its in zip_longest(self.times, other.times, fillvalue=0)],
            errors=self.errors + other.errors,
        )
