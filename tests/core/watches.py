"""Visitors of two versions, drawn with a seed, and a watch that looks at them once a second."""

import random
from collections.abc import Callable, Mapping
from math import exp, sqrt
from typing import NamedTuple

from slot_machine.core.minutes import Tally
from slot_machine.core.side import ALL, Side
from slot_machine.core.verdict import Verdict, judge

TEN_PATHS = {"/checkout": 0.1, **{f"/page-{letter}": 0.1 for letter in "abcdefghi"}}
MANY_PATHS = {f"/page-{number}": 1 / (number + 1) / 4.68 for number in range(60)}
HISTORY_S = 600

Failing = Callable[[str, int], float]
"""The share of a path's requests that fail in a second."""


class Outcome(NamedTuple):
    after_s: int
    verdict: Verdict


class Counted:
    def __init__(self) -> None:
        self.paths: dict[str, Tally] = {}
        self.row: dict[str, int] = {}
        self.looks: dict[str, int] = {}

    def add(self, counts: Mapping[str, tuple[int, int]], rng: random.Random) -> None:
        """The requests and failures of a second."""
        for path, (requests, failures) in counts.items():
            if requests:
                bucket = min(60, max(0, round(rng.gauss(22, 4))))
                self.paths.setdefault(path, Tally({})).add(Tally({bucket: requests}, failures))
                self.row[path] = self.row.get(path, 0) + failures if failures == requests else 0
                self.looks[path] = self.looks.get(path, 0) + (failures > 0)
        self.looks[ALL] = self.looks.get(ALL, 0) + any(failures for _, failures in counts.values())

    def side(self, bursts: Mapping[str, float] | None = None) -> Side:
        row = {path: number for path, number in self.row.items() if number}
        return Side(self.paths, row, looks=self.looks, bursts=dict(bursts or {}))


def history(
    rng: random.Random, shares: Mapping[str, float], failing: Failing, per_second: float, over_s: int = HISTORY_S
) -> Counted:
    """In steps of ten seconds."""
    counted = Counted()
    for second in range(0, over_s, 10):
        counted.add(drawn(rng, shares, lambda path, s=second: failing(path, s), per_second * 10), rng)  # type: ignore[misc]
    return counted


def drawn(
    rng: random.Random, shares: Mapping[str, float], failing: Callable[[str], float], requests: float
) -> dict[str, tuple[int, int]]:
    counts = {}
    for path, share in shares.items():
        number = poisson(rng, requests * share)
        counts[path] = number, sum(rng.random() < failing(path) for _ in range(number))
    return counts


def watched(
    rng: random.Random, shares: Mapping[str, float], failing: Failing, per_second: float, old: Side, over_s: int
) -> Outcome:
    """Ends with the first verdict `worse`, or with the last one."""
    counted = Counted()
    verdict = judge(counted.side(), old, same_minutes=False)
    for second in range(over_s):
        counted.add(drawn(rng, shares, lambda path, s=second: failing(path, s), per_second), rng)  # type: ignore[misc]
        verdict = judge(counted.side(), old, same_minutes=False)
        if verdict.word == "worse":
            return Outcome(second + 1, verdict)
    return Outcome(over_s, verdict)


def poisson(rng: random.Random, mean: float) -> int:
    if mean > 30:
        return max(0, round(rng.gauss(mean, sqrt(mean))))
    number, product, limit = 0, rng.random(), exp(-mean)
    while product > limit:
        number, product = number + 1, product * rng.random()
    return number
