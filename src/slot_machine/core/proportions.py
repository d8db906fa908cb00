"""Tests of proportions: how likely chance alone gives so many failures. One-sided, and exact for small numbers."""

from collections.abc import Iterator
from math import exp, inf, lgamma, log

from slot_machine.core.side import Sample

PRECISION = 1e-9
"""Of a probability, relative to it."""


def chance_of_more(sample: Sample, reference: Sample) -> float:
    """How likely a sample with the same share of failures as its reference has so many (Fisher's exact test).

    1 if it has no more than its part of all failures.
    """
    requests, failures = sample
    all_requests, all_failures = requests + reference.requests, failures + reference.failures
    if not requests or failures * all_requests <= all_failures * requests:
        return 1.0
    most = min(requests, all_failures)
    first = (
        _log_choose(all_failures, failures)
        + _log_choose(all_requests - all_failures, requests - failures)
        - _log_choose(all_requests, requests)
    )
    rest = all_requests - all_failures - requests
    ratios = ((all_failures - k) * (requests - k) / ((k + 1) * (rest + k + 1)) for k in range(failures, most))
    return _summed(first, ratios)


def chance_beyond(failures: int, expected: float, trials: int) -> float:
    """How likely `trials` requests have so many failures, if `expected` is the mean of their sum.

    Each may have another probability to fail: with at least one failure more than the mean, it is an upper bound
    (Hoeffding 1956, theorem 4). 1 if there are fewer.
    """
    if failures < expected + 1 or not 0 < expected < trials:
        return 1.0
    share = expected / trials
    first = _log_choose(trials, failures) + failures * log(share) + (trials - failures) * log(1 - share)
    odds = share / (1 - share)
    return _summed(first, ((trials - k) / (k + 1) * odds for k in range(failures, trials)))


def _summed(first: float, ratios: Iterator[float]) -> float:
    """The first term, of which the logarithm is given, and those after it, each by its ratio to the one before."""
    term = total = exp(first) if first > -700 else 0.0
    for ratio in ratios:
        term *= ratio
        total += term
        if term <= total * PRECISION:
            break
    return min(total, 1.0)


def _log_choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return -inf
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
