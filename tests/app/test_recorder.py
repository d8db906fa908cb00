"""Each minute, what the workers counted is written down; nothing that fails there reaches the app."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.app.recorder import Recorder
from slot_machine.core.minutes import Minute, Tally
from slot_machine.state.stats import NAME, Stats
from tests.fakes import run

MINUTE = Minute(1_000_000, "a", {"/": Tally({10: 1})})


class Workers:
    def __init__(self, *answers: list[Minute] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[bool] = []

    async def take_minutes(self, *, current: bool) -> list[Minute]:
        self.asked.append(current)
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer


def kept(recorder: Recorder, over_s: float) -> None:
    async def story() -> None:
        keeping = asyncio.create_task(recorder.keep())
        await asyncio.sleep(over_s)
        keeping.cancel()

    run(story())


def test_workers_are_asked_once_a_minute(tmp_path: Path) -> None:
    workers = Workers()
    kept(Recorder(workers, Stats(tmp_path / NAME)), 60 * 10 + 2)

    assert len(workers.asked) >= 10
    assert not any(workers.asked)


def test_last_minute_is_written_down_when_the_daemon_ends(tmp_path: Path) -> None:
    workers, stats = Workers([MINUTE]), Stats(tmp_path / NAME)
    asyncio.run(Recorder(workers, stats).finish())

    assert workers.asked == [True]
    assert stats.since(0).paths["/"].requests == 1


@pytest.mark.parametrize("failing", ["workers", "file"])
def test_failure_is_logged_once_and_the_next_minute_is_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, failing: str
) -> None:
    stats = Stats(tmp_path / "missing" / NAME)
    errors: Callable[[], list[Minute] | Exception] = (
        (lambda: OSError("gone")) if failing == "workers" else lambda: [MINUTE]
    )
    workers = Workers(*(errors() for _ in range(3)))
    recorder = Recorder(workers, stats)

    async def story() -> None:
        for _ in range(3):
            await recorder.finish()

    with caplog.at_level(logging.ERROR):
        asyncio.run(story())
        (tmp_path / "missing").mkdir()
        workers.answers.append([MINUTE])
        asyncio.run(recorder.finish())

    assert len(caplog.records) == 1
    assert stats.since(0).paths["/"].requests == 1


def test_hung_workers_do_not_hold_up_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Hung(Workers):
        async def take_minutes(self, *, current: bool) -> list[Minute]:
            await asyncio.sleep(1000)
            return await super().take_minutes(current=current)

    run(Recorder(Hung(), Stats(tmp_path / NAME)).finish())

    assert "takes too long" in caplog.text


def test_recent_ones_are_those_of_the_last_hour_up_to_now(tmp_path: Path) -> None:
    now = int(time.time()) // 60
    counted = {"/": Tally({10: 9}, 0, 7), "/private": Tally({10: 9})}
    workers, stats = Workers([Minute(now, "a", counted)]), Stats(tmp_path / NAME)
    stats.add(
        [Minute(now - 80, "a", {"/old": Tally({10: 9}, 0, 9)}), Minute(now - 30, "b", {"/": Tally({10: 1}, 0, 1)})]
    )

    assert asyncio.run(Recorder(workers, stats).recent()) == {"/": 8}
    assert workers.asked == [True]


def test_recent_ones_that_take_too_long_are_given_up(tmp_path: Path) -> None:
    class Hung:
        async def take_minutes(self, *, current: bool) -> list[Minute]:  # noqa: ARG002 - as `Workers`
            await asyncio.get_running_loop().create_future()
            return []

    with pytest.raises(TimeoutError):
        run(Recorder(Hung(), Stats(tmp_path / NAME)).recent())
