"""When a version is called worse, better, or not seen enough; with the numbers that decide."""

import math
import random
from bisect import bisect_left
from functools import partial
from itertools import combinations

import pytest

from slot_machine.core.failing import ASSUMED
from slot_machine.core.gathering import MOST_PATHS, Gathering
from slot_machine.core.minutes import BOUNDS_S, LATE, OTHER, Tally
from slot_machine.core.proportions import chance_beyond, chance_of_more
from slot_machine.core.side import ALL, Sample, Side
from slot_machine.core.verdict import (
    EXPECTED,
    IN_A_ROW,
    IN_A_ROW_IF_UNKNOWN,
    IN_A_ROW_OF_ONE,
    LEAST_REQUESTS,
    LEAST_TIMES,
    Verdict,
    judge,
)
from slot_machine.core.verdict_table import columns
from tests.core.watches import MANY_PATHS, TEN_PATHS, history, watched

FAST, SLOW = 10, 40
"""Buckets of times."""


def tally(requests: int, failures: int = 0, again: int = 0, bucket: int = FAST) -> Tally:
    return Tally({bucket: requests} if requests else {}, failures, again=again)


def verdict(new: Side, old: Side, *, same_minutes: bool = False) -> Verdict:
    return judge(new, old, same_minutes=same_minutes)


OLD = Side({"/": tally(5000, 5), "/checkout": tally(500)})


def test_version_that_is_as_good_is_better_and_one_that_fails_is_worse() -> None:
    good = verdict(Side({"/": tally(100), "/checkout": tally(50)}), OLD)
    bad = verdict(Side({"/": tally(100), "/checkout": tally(50, 10)}), OLD)

    assert (str(good), good.warnings) == ("better", ())
    assert str(bad) == "worse: 10 of 50 requests (20 %) for /checkout failed; of the old version's, 0 %"


def test_path_whose_requests_wait_for_ever_is_worse_before_any_of_them_ends() -> None:
    hangs = Side({"/": tally(500), "/checkout": Tally({}, waiting=12)})
    given_up = Side({"/": tally(500), "/checkout": Tally({FAST: 12}, in_vain=12)})
    always = Side({"/": tally(5000, 5), "/checkout": Tally({FAST: 500}, in_vain=490)})

    for new in (hangs, given_up):
        assert verdict(new, OLD).why.startswith("12 of 12 requests (100 %) for /checkout failed")
        assert verdict(new, always).word == "better"


@pytest.mark.parametrize("old_waits", [0, 14])
def test_path_whose_requests_wait_in_both_versions_fails_only_with_errors(old_waits: int) -> None:
    """Long polling: each request is answered after 25 s, or left by a visitor who goes on."""
    old = Side({"/": tally(5000, 5), "/poll": Tally({LATE: 80, FAST: 20}, in_vain=10, waiting=old_waits)})
    waits = Side({"/": tally(500), "/poll": Tally({FAST: 3}, in_vain=3, waiting=17)}, {"/poll": 20})
    fails = Side({"/": tally(500), "/poll": Tally({FAST: 20}, errors=20, waiting=5)}, {"/poll": 25})

    assert verdict(waits, old).word == "better"
    assert verdict(fails, old).why.startswith("20 of 20 requests (100 %) for /poll failed")


def test_one_request_of_the_old_version_that_waited_excuses_few_of_the_new_one() -> None:
    old = Side({"/": tally(5000, 5), "/checkout": Tally({FAST: 499, LATE: 1})})

    assert verdict(Side({"/": tally(500), "/checkout": Tally({FAST: 50}, waiting=1)}), old).word == "better"
    assert verdict(Side({"/": tally(500), "/checkout": Tally({FAST: 50}, waiting=12)}), old).word == "worse"


def test_requests_that_waited_before_the_first_look_are_counted_when_they_end() -> None:
    gathering = Gathering()
    gathering.add({"/poll": Tally({LATE: 3}, waiting=-3)}, 0)
    gathering.add({"/poll": Tally({}, waiting=2)}, 1)

    total = gathering.side().total
    assert (total.asked, total.failed) == (5, 2)


def test_version_that_fails_is_not_called_better_than_one_of_which_nothing_is_known() -> None:
    failing, clean = Side({"/": tally(100, 6)}), Side({"/": tally(100, 1)})

    assert str(verdict(failing, Side())) == "not enough requests (0 of 50 of the old version)"
    assert verdict(failing, Side({"/": tally(LEAST_REQUESTS, 5)})).word == "better"
    assert verdict(clean, Side()).word == "better"


def test_few_failures_on_each_of_many_paths_are_found_together() -> None:
    old = Side({path: tally(1000) for path in MANY_PATHS})
    new = Side({path: tally(30, 3) for path in MANY_PATHS})

    assert verdict(new, old).why.startswith("180 of 1800 requests (10 %) failed")


def test_too_few_failures_or_looks_never_decide() -> None:
    few = Side({"/": tally(60), "/checkout": tally(3, 3)})
    hiccup = Side({"/checkout": tally(60, 30)}, looks={"/checkout": 2, ALL: 2})
    enough = Side({"/checkout": tally(60, 30)}, looks={"/checkout": 3, ALL: 3})

    assert [verdict(new, OLD).word for new in (few, hiccup, enough)] == ["better", "better", "worse"]


@pytest.mark.parametrize("requests", [0, 1, LEAST_REQUESTS - 1])
def test_without_enough_requests_nothing_is_called_better(requests: int) -> None:
    found = verdict(Side({"/": tally(requests)}), OLD)

    assert str(found) == f"not enough requests ({requests} of {LEAST_REQUESTS})"
    assert found.numbers["needed"] == LEAST_REQUESTS


def test_two_sides_without_a_request_are_compared_without_a_number_that_is_none() -> None:
    found = verdict(Side(), Side())

    assert found.word == "not enough requests"
    assert all(math.isfinite(number) for number in found.numbers.values())


def test_traffic_that_stops_half_way_is_not_enough() -> None:
    """One that is only rare goes on."""
    stopped = Side({"/": tally(300)}, seconds=60, quiet_s=30)
    rare = Side({"/": tally(60)}, seconds=600, quiet_s=30)

    assert str(verdict(stopped, OLD)) == "not enough requests (300 of 600)"
    assert verdict(rare, OLD).word == "better"


def test_process_that_crashed_decides_at_once_unless_it_crashed_before() -> None:
    assert str(verdict(Side(crashes=("worker", "web")), Side(crashes=("worker",)))) == "worse: web crashed"
    assert verdict(Side(crashes=("worker",)), Side(crashes=("worker",))).word == "not enough requests"


@pytest.mark.parametrize(
    ("row", "visitors", "known", "word"),
    [
        (IN_A_ROW, IN_A_ROW, tally(500), "worse"),
        (IN_A_ROW - 1, IN_A_ROW - 1, tally(500), "better"),
        (IN_A_ROW, IN_A_ROW, tally(500, 1), "better"),
        (IN_A_ROW, IN_A_ROW, tally(2), "better"),
        (IN_A_ROW_IF_UNKNOWN, IN_A_ROW_IF_UNKNOWN, tally(0), "worse"),
        (IN_A_ROW_OF_ONE, 1, tally(500), "worse"),
        (IN_A_ROW_OF_ONE - 1, 1, tally(500), "better"),
        (1000, 1, tally(20), "better"),
        (1000, 1, tally(0), "better"),
    ],
)
def test_failures_in_a_row_on_a_path_that_had_none(row: int, visitors: int, known: Tally, word: str) -> None:
    """Those of one visitor count only where others were to be expected."""
    path = "/orders/:id"
    old = Side({"/": tally(5000, 50), path: known})
    new = Side({path: tally(400 + row, row, again=row - visitors)}, {path: row}, (), {path: visitors})

    assert verdict(new, old).word == word


def test_app_with_a_single_client_is_judged_too() -> None:
    old = Side({"/api": tally(3000)})
    new = Side({"/api": tally(IN_A_ROW_OF_ONE, IN_A_ROW_OF_ONE, again=9)}, {"/api": IN_A_ROW_OF_ONE}, (), {"/api": 1})

    assert EXPECTED <= IN_A_ROW_OF_ONE
    assert verdict(new, old).word == "worse"


def test_paths_beyond_those_told_apart_have_no_row() -> None:
    assert verdict(Side({OTHER: tally(100, 1)}, {OTHER: 1000}), Side({OTHER: tally(100)})).word == "better"


def test_paths_that_come_in_a_long_watch_are_told_apart_up_to_a_number() -> None:
    gathering = Gathering()
    for minute in range(20):
        gathering.add({f"/{minute}/{number}": tally(2, 1) for number in range(100)}, 60 * minute)
    gathering.add({"/0/0": tally(1)}, 1200)

    side = gathering.side()
    assert len(side.paths) == len(side.looks) - 1 == MOST_PATHS + 1
    assert side.paths["/0/0"].requests == 3
    assert (side.total.requests, side.total.failed) == (4001, 2000)


def test_outage_of_both_versions_in_a_share_is_no_failure_of_the_new_one() -> None:
    """It is a minute among many that were without failures."""
    outage = {"/": tally(90, 30), "/checkout": tally(40, 14)}
    before = {"/": tally(5000, 5), "/checkout": tally(500)}
    both = {"/": tally(5090, 35), "/checkout": tally(540, 14)}

    assert verdict(Side(outage), Side(both, meanwhile=outage), same_minutes=True).word == "better"
    assert verdict(Side(outage), Side(both), same_minutes=True).word == "worse"
    assert verdict(Side(outage), Side(before, meanwhile={"/": tally(90)}), same_minutes=True).word == "worse"


def test_visitor_who_tries_one_broken_address_again_counts_once() -> None:
    new = Side({"/": tally(500, 1), "/orders/:id": tally(400, 300, again=299)})

    assert verdict(new, Side({"/": tally(5000, 5), "/orders/:id": tally(3000)})).word == "better"


def test_path_that_always_fails_is_none_of_the_new_version_also_in_a_burst() -> None:
    old = Side({"/": tally(5000), "/broken": tally(50, 50)})

    assert verdict(Side({"/": tally(500), "/broken": tally(400, 400)}, {"/broken": 400}), old).word == "better"


@pytest.mark.parametrize("known", [{}, {"/new": tally(25)}])
def test_page_with_no_or_few_requests_before_is_compared_with_what_usually_fails(known: dict[str, Tally]) -> None:
    """A page may fail more often than others, so it must be clear."""
    old = Side({"/": tally(5000, 50)} | known)

    assert verdict(Side({"/": tally(100), "/new": tally(75, 23)}), old).word == "worse"
    assert verdict(Side({"/": tally(100), "/new": tally(400, 20)}), old).word == "better"


def test_few_failures_on_each_of_many_paths_with_few_requests_before_are_found_together() -> None:
    old = Side({path: tally(10) for path in MANY_PATHS})
    new = Side({path: tally(30, 3) for path in MANY_PATHS})

    assert verdict(new, old).why.startswith("180 of 1800 requests (10 %) failed")


def test_old_version_without_a_request_is_assumed_to_have_failed_now_and_then() -> None:
    assert ASSUMED.share == 0.01
    assert verdict(Side({"/": tally(60, 30)}), Side()).word == "worse"
    assert verdict(Side({"/": tally(200, 5)}), Side()).word != "worse"


def test_failures_that_come_in_bursts_weigh_less() -> None:
    new, paths = Side({"/": tally(3000, 50)}), {"/": tally(30000, 150)}

    assert verdict(new, Side(paths)).word == "worse"
    assert verdict(new, Side(paths, bursts={"/": 25.0})).word == "better"


def test_difference_that_is_small_is_not_clear_however_sure_it_is() -> None:
    old = Side({"/": tally(1_000_000, 10_000)})

    assert verdict(Side({"/": tally(1_000_000, 15_000)}), old).word == "better"
    assert verdict(Side({"/": tally(1_000_000, 25_000)}), old).word == "worse"


def test_slower_version_is_a_warning_only_and_only_where_that_can_be_told() -> None:
    """When it is warm; in a share, compared with the same minutes of the old one."""
    cold = Side({"/": tally(200, bucket=SLOW)})
    warm = Side({"/": tally(200, bucket=SLOW)}, warm=tally(LEAST_TIMES, bucket=SLOW))
    old = Side({"/": tally(1000)}, warm=tally(LEAST_TIMES, bucket=SLOW))

    assert verdict(cold, old).warnings == verdict(warm, old, same_minutes=True).warnings == ()
    found = verdict(warm, old)
    assert found.word == "better"
    assert found.warnings == ("100 % of the requests took more than 1.25 ms; of the old version's, 0 % did",)


# Series that were published because a rank test had passed them.
SOME_HUNDREDFOLD = [100.0] * 7 + [1.0] * 3, [1.0] * 10
SPREAD = (
    [1.0, 100.0, 4.0, 101.0, 5.0, 102.0, 6.0, 103.0, 7.0, 104.0, 8.0, 105.0, 9.0, 106.0, 17.0],
    [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7],
)
A_THIRD_HUNDREDFOLD = [100.0] * 3 + [1.0] * 7, [1.0] * 10


@pytest.mark.parametrize("series", [SOME_HUNDREDFOLD, SPREAD, A_THIRD_HUNDREDFOLD])
def test_slow_part_is_told_whatever_the_ranks_of_all_times_say(series: tuple[list[float], list[float]]) -> None:
    """Each value is in milliseconds, and that of 20 requests."""
    new, old = (_times([value for value in values for _ in range(20)]) for values in series)

    assert verdict(Side(warm=new), Side(warm=old), same_minutes=True).warnings
    assert not verdict(Side(warm=old), Side(warm=old), same_minutes=True).warnings


@pytest.mark.parametrize("series", [SOME_HUNDREDFOLD, A_THIRD_HUNDREDFOLD])
def test_failing_part_decides_whatever_the_ranks_say(series: tuple[list[float], list[float]]) -> None:
    """Each value is a number of failures among 1,000 requests of one minute."""
    new, old = (tally(1000 * len(values), int(sum(values))) for values in series)

    assert verdict(Side({"/": new}), Side({"/": old})).word == "worse"


def _times(values_ms: list[float]) -> Tally:
    found = Tally({})
    for value_ms in values_ms:
        found.add(Tally({bisect_left(BOUNDS_S, value_ms / 1000): 1}))
    return found


@pytest.mark.parametrize("new", [Sample(5, 3), Sample(8, 8), Sample(4, 0), Sample(1, 1)])
@pytest.mark.parametrize("old", [Sample(6, 1), Sample(7, 7), Sample(3, 0)])
def test_exact_test_is_that_of_all_ways_to_deal_the_failures(new: Sample, old: Sample) -> None:
    requests, failures = new.requests + old.requests, new.failures + old.failures
    deals = list(combinations(range(requests), failures))
    expected = sum(sum(place < new.requests for place in deal) >= new.failures for deal in deals) / len(deals)

    found = chance_of_more(new, old)
    assert found == (pytest.approx(expected) if new.share > failures / requests else 1.0)


def test_bound_for_a_sum_is_the_binomial_one() -> None:
    assert chance_beyond(8, 2.0, 20) == pytest.approx(
        sum(math.comb(20, k) * 0.1**k * 0.9 ** (20 - k) for k in range(8, 21))
    )
    assert [chance_beyond(2, 2.0, 20), chance_beyond(0, 0.0, 0), chance_beyond(5, 5.0, 5)] == [1.0, 1.0, 1.0]
    assert chance_of_more(Sample(10**6, 10**5), Sample(10**6, 10)) == 0.0


def failing(checkout: float, path: str, second: int) -> float:  # noqa: ARG001
    return checkout if path == "/checkout" else 0.01


def test_failing_checkout_is_found_in_seconds_and_an_equal_version_is_kept() -> None:
    """A few of each; `test_watches.py` has hundreds."""
    for seed in range(5):
        rng = random.Random(seed)
        old = history(rng, TEN_PATHS, partial(failing, 0.01), 5).side()
        bad = watched(rng, TEN_PATHS, partial(failing, 0.2), 50, old, 30)
        good = watched(rng, TEN_PATHS, partial(failing, 0.01), 50, old, 30)
        assert (bad.verdict.word, good.verdict.word) == ("worse", "better")


def test_table_has_the_numbers_of_both_in_80_columns() -> None:
    new = Side({"/checkout/" + "x" * 60: tally(50, 10), "/": tally(1234)}, crashes=("worker", "web", "scheduler"))

    lines = list(columns(new, OLD))
    assert lines[0].split() == ["new", "old"]
    assert lines[1].split() == ["requests", "1,284", "5,500"]
    assert lines[2].split() == ["failed", "10", "of", "1,284", "5", "of", "5,500"]
    assert lines[3].split()[-4:] == ["10", "of", "50", "-"]
    assert lines[-1].split()[-1] == "-"
    assert max(map(len, lines)) <= 80
    assert list(columns(Side(), Side()))
