"""Visitors of two versions, drawn with a seed, and a watch that looks at them once a second."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from math import exp, sqrt
from typing import NamedTuple, Protocol

from slot_machine.core.gathering import Gathering
from slot_machine.core.minutes import BUCKETS, Tally
from slot_machine.core.side import Side
from slot_machine.core.verdict import Verdict, judge

TEN_PATHS = {"/checkout": 0.1, **{f"/page-{letter}": 0.1 for letter in "abcdefghi"}}
MANY_PATHS = {f"/page-{number}": 1 / (number + 1) / 4.68 for number in range(60)}
HISTORY_S = 600


class Failing(Protocol):
    def __call__(self, path: str, second: int) -> float:
        """The share of a path's requests that fail in that second."""


class Outcome(NamedTuple):
    after_s: int
    verdict: Verdict


def history(
    rng: random.Random,
    shares: Mapping[str, float],
    failing: Failing,
    per_second: float,
    over_s: int = HISTORY_S,
    step_s: int = 10,
) -> Gathering:
    gathering = Gathering()
    for second in range(0, over_s, step_s):
        gathering.add(drawn(rng, shares, partial(failing, second=second), per_second * step_s), second)
    return gathering


def drawn(
    rng: random.Random, shares: Mapping[str, float], failing: Callable[[str], float], requests: float
) -> dict[str, Tally]:
    tallies = {}
    for path, share in shares.items():
        number = poisson(rng, requests * share)
        bucket = min(BUCKETS - 1, max(0, round(rng.gauss(22, 4))))
        tallies[path] = Tally({bucket: number}, sum(rng.random() < failing(path) for _ in range(number)))
    return tallies


def watched(
    rng: random.Random, shares: Mapping[str, float], failing: Failing, per_second: float, old: Side, over_s: int
) -> Outcome:
    """Ends with the first verdict `worse`, or with the last one."""
    new = Gathering()
    verdict = judge(new.side(), old, same_minutes=False)
    for second in range(over_s):
        new.add(drawn(rng, shares, partial(failing, second=second), per_second), second)
        verdict = judge(new.side(), old, same_minutes=False)
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
