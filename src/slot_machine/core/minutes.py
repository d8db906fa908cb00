"""The requests of one minute: how long they took, as a histogram, and how many failed, by path."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from slot_machine.core.upstream import LATENCY_BOUNDS_S

BOUNDS_S = tuple(
    float(f"{number}e{exponent}")
    for exponent in range(-4, 2)
    for number in ("1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8")
)
"""Upper bounds of the buckets, from 0.1 ms to 80 s in steps of about a quarter (ISO 3, R10). One more bucket has the
rest. Each of LATENCY_BOUNDS_S is among them."""

BUCKETS = len(BOUNDS_S) + 1
COARSE = [bisect_left(LATENCY_BOUNDS_S, bound) for bound in BOUNDS_S] + [len(LATENCY_BOUNDS_S)]
"""By bucket, the one of LATENCY_BOUNDS_S that it is a part of."""

LATE_S = 15.0
"""A request that has waited so long for the begin of its reply is told to whoever watches the version."""
LATE = bisect_left(BOUNDS_S, LATE_S)
"""The first bucket with times that are longer."""
LEFT_AFTER_S = 5.0
"""A client that leaves after such a time, and without a reply, has waited in vain."""

NOT_FOUND = "(not found)"
"""In place of a path: requests that were answered 404."""
OTHER = "(other)"
"""In place of a path: requests for more paths than are told apart."""


class Tally(msgspec.Struct, array_like=True):
    """Some requests: how many took how long, by bucket, without those that are empty; and how many of them failed.

    A request failed if it was answered 5xx, or if the app cut its reply short. `anonymous` ones are a `GET` without
    query, cookie and authorisation, that was answered 2xx or 3xx. `again` ones are those of the errors whose visitor
    had asked for the same path before, and had got nothing but errors for it since.

    `waiting` is how many more wait long for their replies than before: it is below 0 if such requests have ended.
    `in_vain` ones got no reply before their clients left, after LEFT_AFTER_S or more.
    """

    times: dict[int, int] = {}
    errors: int = 0
    anonymous: int = 0
    again: int = 0
    waiting: int = 0
    in_vain: int = 0

    @property
    def requests(self) -> int:
        return sum(self.times.values())

    @property
    def asked(self) -> int:
        """`requests`, and those that wait long."""
        return self.requests + self.waiting

    @property
    def answered(self) -> int:
        """`requests` without those that waited in vain."""
        return self.requests - self.in_vain

    @property
    def late(self) -> int:
        """Those that wait long, and those that did, or may have: of a long reply, the begin may have come soon."""
        slow = sum(number for bucket, number in self.times.items() if bucket >= LATE)
        return self.waiting + min(self.in_vain + slow, self.requests)

    @property
    def failed(self) -> int:
        """For whoever watches a version: a request that waits long fails as well."""
        return self.errors + self.waiting + self.in_vain

    def add(self, other: "Tally") -> None:
        for bucket, number in other.times.items():
            self.times[bucket] = self.times.get(bucket, 0) + number
        self.errors += other.errors
        self.anonymous += other.anonymous
        self.again += other.again
        self.waiting += other.waiting
        self.in_vain += other.in_vain

    def percentile_s(self, percent: float) -> float:
        """The time that so many percent of the requests took at most: within its bucket, an estimate. 0 for none."""
        wanted = self.requests * percent / 100
        for bucket in sorted(self.times):
            number = self.times[bucket]
            if wanted <= number:
                low = BOUNDS_S[bucket - 1] if bucket else 0.0
                high = BOUNDS_S[bucket] if bucket < len(BOUNDS_S) else low
                return low + (high - low) * wanted / number
            wanted -= number
        return 0.0


class Minute(msgspec.Struct):
    """What one worker counted of a slot's requests. `minute` is the time in minutes since 1970."""

    minute: int
    slot: str
    paths: dict[str, Tally]


ByMinute = dict[tuple[int, str], Minute]
"""By the minute and the slot."""


def merge(into: ByMinute, minutes: Iterable[Minute]) -> None:
    """Adds what several workers counted, or one in parts of a minute. The tallies of `minutes` stay as they are."""
    for counted in minutes:
        key = counted.minute, counted.slot
        paths = into.setdefault(key, Minute(*key, {})).paths
        for path, tally in counted.paths.items():
            paths.setdefault(path, Tally({})).add(tally)


def sparse(numbers: Sequence[int]) -> dict[int, int]:
    """A histogram without its empty buckets."""
    return {bucket: number for bucket, number in enumerate(numbers) if number}


def coarse(times: Mapping[int, int]) -> list[int]:
    """The histogram for LATENCY_BOUNDS_S."""
    found = [0] * (len(LATENCY_BOUNDS_S) + 1)
    for bucket, number in times.items():
        found[COARSE[bucket]] += number
    return found
