"""Hundreds of watches whose visitors are drawn with a seed: how soon a bad version is found, and that no good one is.

A look a second, as in a watch.
"""

import random
from collections.abc import Mapping

import pytest

from slot_machine.core.side import Side
from tests.core.watches import MANY_PATHS, TEN_PATHS, Failing, history, watched

CHECKOUT_ALONE = {"/checkout": 1.0}


def one_percent(path: str, second: int) -> float:  # noqa: ARG001
    return 0.01


def one_always_fails(path: str, second: int) -> float:  # noqa: ARG001
    return 1.0 if path == "/page-a" else 0.01


def one_often_fails(path: str, second: int) -> float:  # noqa: ARG001
    return 0.05 if path == "/page-a" else 0.001


def bursts(path: str, second: int) -> float:  # noqa: ARG001
    """Half of the requests of one second in fifty."""
    return 0.5 if second % 50 == 41 else 0.005


def failing(share: float, of: str, others: float) -> Failing:
    def of_path(path: str, second: int) -> float:  # noqa: ARG001
        return share if path == of else others

    return of_path


def always(share: float) -> Failing:
    return failing(share, "", share)


@pytest.mark.parametrize("shares", [TEN_PATHS, CHECKOUT_ALONE], ids=["a tenth", "all"])
@pytest.mark.parametrize("usual", [0.0, 0.002])
def test_failing_checkout_is_found_within_ten_seconds(shares: Mapping[str, float], usual: float) -> None:
    """A fifth of it fails, at 50 requests a second. In some watches, chance has too few failures so soon."""
    after_s = []
    for seed in range(100):
        rng = random.Random(seed)
        old = history(rng, shares, always(usual), 50).side()
        bad = watched(rng, shares, failing(0.2, "/checkout", usual), 50, old, 30)
        assert bad.verdict.word == "worse"
        after_s.append(bad.after_s)

    assert sorted(after_s)[50] <= 6
    assert sum(second <= 10 for second in after_s) >= 95
    assert max(after_s) <= 20


@pytest.mark.parametrize(
    ("shares", "fails", "per_second", "over_s", "watches"),
    [
        (TEN_PATHS, one_percent, 50, 60, 100),
        (CHECKOUT_ALONE, one_percent, 50, 60, 200),
        (MANY_PATHS, one_percent, 20, 60, 50),
        (MANY_PATHS, one_percent, 3, 600, 10),
        (TEN_PATHS, one_percent, 20, 600, 20),
        (TEN_PATHS, one_always_fails, 20, 60, 100),
        (TEN_PATHS, bursts, 50, 120, 50),
        (TEN_PATHS, one_often_fails, 20, 60, 100),
    ],
)
def test_no_version_that_is_as_good_is_called_worse(
    shares: Mapping[str, float], fails: Failing, per_second: float, over_s: int, watches: int
) -> None:
    words = []
    for seed in range(watches):
        rng = random.Random(seed)
        old = history(rng, shares, fails, per_second, step_s=1 if fails is bursts else 10).side()
        words.append(watched(rng, shares, fails, per_second, old, over_s).verdict.word)

    assert words == ["better"] * watches


@pytest.mark.parametrize("over_s", [0, 10, 60])
def test_page_that_fails_more_often_than_others_is_kept_after_a_short_history(over_s: int) -> None:
    words = []
    for seed in range(100):
        rng = random.Random(seed)
        old = history(rng, TEN_PATHS, one_often_fails, 20, over_s=over_s).side()
        words.append(watched(rng, TEN_PATHS, one_often_fails, 20, old, 60).verdict.word)

    assert words == ["better"] * 100


def test_new_page_that_fails_now_and_then_is_found() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        old = history(rng, TEN_PATHS, one_percent, 50).side()
        shares = TEN_PATHS | {"/new": 0.05}
        bad = watched(rng, shares, failing(0.3, "/new", 0.01), 50, old, 60)
        assert (bad.verdict.word, "/new" in bad.verdict.why) == ("worse", True)


def test_failing_checkout_is_found_after_a_history_of_seconds() -> None:
    after_s = []
    for seed in range(100):
        rng = random.Random(seed)
        old = history(rng, TEN_PATHS, always(0.0), 50, over_s=10).side()
        bad = watched(rng, TEN_PATHS, failing(0.2, "/checkout", 0.0), 50, old, 60)
        assert bad.verdict.word == "worse"
        after_s.append(bad.after_s)

    assert sorted(after_s)[50] <= 12


def test_watch_without_a_history_keeps_an_equal_version_and_finds_a_bad_one() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        assert watched(rng, TEN_PATHS, one_percent, 20, Side(), 60).verdict.word == "better"
        assert watched(rng, TEN_PATHS, always(0.3), 20, Side(), 60).verdict.word == "worse"
