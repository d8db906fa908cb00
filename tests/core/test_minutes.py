"""Histograms of times: percentiles, sums, and the coarser ones of the metrics."""

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.core.minutes import BOUNDS_S, BUCKETS, Tally, coarse, sparse
from slot_machine.core.upstream import LATENCY_BOUNDS_S

SECONDS = st.lists(st.one_of(st.floats(0, 200), st.sampled_from([*BOUNDS_S, *LATENCY_BOUNDS_S])), max_size=50)


def tally(*seconds: float, errors: int = 0) -> Tally:
    numbers = [0] * BUCKETS
    for second in seconds:
        numbers[bisect_left(BOUNDS_S, second)] += 1
    return Tally(sparse(numbers), errors)


@given(SECONDS)
def test_coarse_histogram_is_the_one_that_would_have_been_counted(seconds: list[float]) -> None:
    expected = [0] * (len(LATENCY_BOUNDS_S) + 1)
    for second in seconds:
        expected[bisect_left(LATENCY_BOUNDS_S, second)] += 1

    assert coarse(tally(*seconds).times) == expected


@given(SECONDS, SECONDS)
def test_sum_has_the_requests_of_both(some: list[float], others: list[float]) -> None:
    summed = tally(*some, errors=1)
    summed.add(tally(*others, errors=2))

    assert summed == tally(*some, *others, errors=3)
    assert summed.requests == len(some) + len(others)


@pytest.mark.parametrize(("percent", "expected_s"), [(50, 0.003), (95, 0.003), (99, 2.0)])
def test_percentile_is_in_the_bucket_of_its_request(percent: float, expected_s: float) -> None:
    found_s = tally(*[0.003] * 97, *[2.0] * 3).percentile_s(percent)

    assert expected_s / 1.3 < found_s < expected_s * 1.3


def test_percentile_of_nothing_is_0_and_beyond_the_last_bucket_its_bound() -> None:
    assert tally().percentile_s(99) == 0
    assert tally(1000).percentile_s(50) == BOUNDS_S[-1]
