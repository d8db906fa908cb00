"""Hundreds of watches through what the workers count, with noisy latency: nothing is called worse without a reason."""

from pathlib import Path

import pytest

from tests.app.visitors import Traffic
from tests.fakes import run

PATHS = [b"/", b"/cart", b"/checkout", b"/orders/17?page=2", b"/search?q=x", b"/about", b"/app.3f2a1b9c.js", b"/login"]


@pytest.mark.parametrize("begin", range(0, 200, 50))
def test_of_equal_versions_none_is_called_worse(tmp_path: Path, begin: int) -> None:
    async def story(seed: int) -> tuple[str, tuple[str, ...]]:
        traffic = Traffic(tmp_path, seed, PATHS, 30, 0.01)
        await traffic.before(240)
        _, verdict = await traffic.watch(60)
        return str(verdict), verdict.warnings

    assert [run(story(seed)) for seed in range(begin, begin + 50)] == [("better", ())] * 50


@pytest.mark.parametrize("paths", [[b"/checkout"], [b"/checkout", *(b"/page-%c" % letter for letter in b"abcdefghi")]])
def test_failing_checkout_is_found_within_ten_seconds(tmp_path: Path, paths: list[bytes]) -> None:
    """At 50 requests a second, a fifth of those for it fails."""

    async def story(seed: int) -> int:
        traffic = Traffic(tmp_path, seed, paths, 50, 0.0)
        await traffic.before(120)
        after_s, verdict = await traffic.watch(30, {b"/checkout": 0.2})
        assert verdict.word == "worse"
        return after_s

    after_s = sorted(run(story(seed)) for seed in range(50))
    assert after_s[25] <= 6
    assert after_s[48] <= 10
    assert after_s[49] <= 15
