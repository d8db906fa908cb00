"""Compares what visitors saw of a new version with what they saw of the old one."""

from typing import Literal

import msgspec

from slot_machine.core.failing import ASSUMED, CHANCE, CLEARLY, what_fails
from slot_machine.core.minutes import BOUNDS_S, OTHER, Tally
from slot_machine.core.proportions import chance_of_more
from slot_machine.core.side import Sample
from slot_machine.core.side import Side as Side

Word = Literal["better", "worse", "not enough requests"]

IN_A_ROW = 5
"""Failures of different visitors in a row, on a path on which the old version had none."""
IN_A_ROW_IF_UNKNOWN = 10
"""As above, if the old version had fewer than FEW requests for the path: it may always have failed."""
FEW = 20
IN_A_ROW_OF_ONE = 10
"""As IN_A_ROW, if one visitor asks again and again: only if that is what the path is used for, see below."""
EXPECTED, MOST_OF_EXPECTED = 5.0, 3.0
"""So many requests would a path have had by now, if it had its old share of all; and so many times that number it has
at most. Otherwise the row is that of a visitor who tries one broken address over and over, which is no outage."""
LEAST_REQUESTS = 50
"""With fewer, a version that is not worse is not called better either: one failure in twenty could stay unseen."""
QUIET_S = 10.0
"""Without a request for so long, although QUIET_REQUESTS were to be expected, the traffic has stopped."""
QUIET_REQUESTS = 20
SLOW_SHARE = 0.01
"""The slowest requests of the old version; 0.01 is what is above the 99th percentile."""
SLOWER_SHARE = 0.05
"""If so many of the new version's requests take as long, that is told."""
LEAST_TIMES = 50
"""Of each side, before their times are compared."""


class Verdict(msgspec.Struct, frozen=True):
    """`why` tells in words what is worse, or that there are only n of m requests. `better`: at least as good."""

    word: Word
    why: str = ""
    numbers: dict[str, float] = {}
    """For the status: by name, those of both sides."""
    warnings: tuple[str, ...] = ()
    """What is no reason to go back, such as latency."""

    def __str__(self) -> str:
        if not self.why:
            return self.word
        return f"{self.word}: {self.why}" if self.word == "worse" else f"{self.word} ({self.why})"


def judge(new: Side, old: Side, *, same_minutes: bool) -> Verdict:
    """`same_minutes`: both sides serve, so that the latency of the same minutes can be compared."""
    total, old_total = new.total, old.total
    counted = Sample.of(total).requests
    needed = _needed(new, counted)
    numbers = {"needed": float(needed), **_numbers("", new, total), **_numbers("old_", old, old_total)}
    warnings = _slower(new.warm, old.warm if same_minutes else old_total)
    if why := _crashed(new, old) or _in_a_row(new, old, total, old_total) or what_fails(new, old):
        return Verdict("worse", why, numbers, warnings)
    if counted < needed:
        return Verdict("not enough requests", f"{counted} of {needed}", numbers, warnings)
    if old_total.asked < LEAST_REQUESTS and Sample.of(total).share >= CLEARLY * ASSUMED.share:
        known = f"{old_total.asked} of {LEAST_REQUESTS} of the old version"
        return Verdict("not enough requests", known, numbers, warnings)
    return Verdict("better", "", numbers, warnings)


def _crashed(new: Side, old: Side) -> str:
    crashed = [name for name in new.crashes if name not in old.crashes]
    return f"{', '.join(crashed)} crashed" if crashed else ""


def _in_a_row(new: Side, old: Side, total: Tally, old_total: Tally) -> str:
    for path, failed in new.in_a_row.items():
        known = old.paths.get(path, Tally())
        some_wait = new.paths[path].failed > new.paths[path].errors
        if known.failed or path == OTHER or (some_wait and known.late):
            continue
        visitors = new.visitors_in_a_row.get(path, failed)
        expected = known.requests * total.requests / max(old_total.requests, 1)
        least = IN_A_ROW if known.requests >= FEW else IN_A_ROW_IF_UNKNOWN
        usual = expected >= EXPECTED and failed <= MOST_OF_EXPECTED * expected
        if visitors >= least or (failed >= IN_A_ROW_OF_ONE and usual):
            return f"the last {failed} requests for {path} failed; of the old version's {known.requests}, none did"
    return ""


def _needed(new: Side, counted: int) -> int:
    """More than came if the traffic has stopped: as many as would have come."""
    rate = counted / max(new.seconds - new.quiet_s, 1.0)
    stopped = new.quiet_s >= QUIET_S and new.quiet_s * rate >= QUIET_REQUESTS
    return max(LEAST_REQUESTS, round(rate * new.seconds) if stopped else 0)


def _slower(mine: Tally, its: Tally) -> tuple[str, ...]:
    if min(mine.requests, its.requests) < LEAST_TIMES:
        return ()
    # One bucket above the percentile: a quarter more is no reason for a word.
    bucket = _bucket_of_slow(its) + 1
    slow, its_slow = Sample(mine.requests, _above(mine, bucket)), Sample(its.requests, _above(its, bucket))
    if bucket >= len(BOUNDS_S) or slow.share < SLOWER_SHARE or chance_of_more(slow, its_slow) > CHANCE:
        return ()
    took = f"{100 * slow.share:.3g} % of the requests took more than {_duration(BOUNDS_S[bucket])}"
    return (f"{took}; of the old version's, {100 * its_slow.share:.3g} % did",)


def _bucket_of_slow(tally: Tally) -> int:
    """The first one above which at most SLOW_SHARE of the requests are."""
    allowed = tally.requests * SLOW_SHARE
    return next(bucket for bucket in range(len(BOUNDS_S) + 1) if _above(tally, bucket) <= allowed)


def _above(tally: Tally, bucket: int) -> int:
    return sum(number for its, number in tally.times.items() if its > bucket)


def _numbers(prefix: str, side: Side, total: Tally) -> dict[str, float]:
    found = {
        "requests": total.asked,
        "errors": total.failed,
        "error_percent": round(100 * total.failed / total.asked, 3) if total.asked else 0.0,
        "p50_ms": round(1000 * total.percentile_s(50), 2),
        "p99_ms": round(1000 * total.percentile_s(99), 2),
        "crashes": len(side.crashes),
    }
    return {f"{prefix}{name}": float(number) for name, number in found.items()}


def _duration(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{1000 * seconds:g} ms"
