"""What a watch knows of two versions: all that visitors saw of them since the switch, and nothing else."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from slot_machine.app.evidence import WARM_S, Evidence
from slot_machine.app.recorder import LAST_MINUTES, Recorder
from slot_machine.core.failing import KNOWN
from slot_machine.core.minutes import Minute, Tally
from slot_machine.core.model import State
from slot_machine.core.side import ALL, Side
from slot_machine.core.verdict import judge
from slot_machine.proxy.observer import Observers
from slot_machine.state.stats import NAME, Stats
from tests.app.visitors import Traffic, Workers, live
from tests.fakes import run

Story = Callable[[Workers, Recorder], Coroutine[None, None, None]]
PATHS = [b"/", b"/cart", b"/checkout", b"/search", b"/about"]


def told(folder: Path, story: Story, workers: int = 1, *, reads: bool = False) -> None:
    """`reads`: a file is read or written, which the loop whose time costs nothing can't wait for."""
    made = Workers(workers)
    (asyncio.run if reads else run)(story(made, Recorder(made, Stats(folder / NAME), lambda: made.state)))


def requests(side: Side) -> dict[str, tuple[int, int]]:
    return {path: (tally.requests, tally.errors) for path, tally in side.paths.items()}


def test_new_version_has_what_came_since_the_switch_and_the_old_one_what_came_before(tmp_path: Path) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        workers.ask("b", b"/of-an-earlier-version", 500)
        workers.ask("a", b"/", 503)
        evidence = Evidence(recorder, "b", "a")
        await evidence.look()
        workers.ask("b", b"/orders/1", 500)
        workers.ask("b", b"/orders/2")
        workers.ask("a", b"/", 502)  # The drain after the switch.
        new, old = await evidence.look()

        assert requests(new) == {"/orders/:id": (2, 1)}
        assert requests(old) == {"/": (1, 1)}
        assert requests((await evidence.look())[0]) == {"/orders/:id": (2, 1)}

    told(tmp_path, story)


def test_several_workers_are_one_look_and_one_that_is_replaced_counts_nothing_twice(tmp_path: Path) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        evidence = Evidence(recorder, "b", "a")
        await evidence.look()
        for worker in (0, 1):
            workers.ask("b", b"/", 500 if worker else 200, worker=worker)
        new, _ = await evidence.look()
        assert (requests(new), new.in_a_row, new.looks) == ({"/": (2, 1)}, {}, {"/": 1, ALL: 1})
        workers.ask("b", b"/", 500, worker=1)
        workers.observers[1] = Observers()
        workers.ask("b", b"/", 500, worker=1)
        new, _ = await evidence.look()
        assert (requests(new), new.in_a_row) == ({"/": (3, 2)}, {"/": 1})

    told(tmp_path, story, workers=2)


def test_row_goes_on_over_looks_and_ends_with_an_answer(tmp_path: Path) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        evidence = Evidence(recorder, "b", "a")
        await evidence.look()
        for second in range(3):
            for visitor in (7, 7, second + 10):
                workers.ask("b", b"/cart", 500, visitor=visitor)
            workers.ask("b", b"/", 200)
            new, _ = await evidence.look()
            await asyncio.sleep(1)
        assert (new.in_a_row, new.visitors_in_a_row) == ({"/cart": 9}, {"/cart": 4})
        assert new.looks == {"/cart": 3, "/": 0, ALL: 3}
        workers.ask("b", b"/cart", 500)
        workers.ask("b", b"/cart", 302)
        new, _ = await evidence.look()
        assert new.in_a_row == {}

    told(tmp_path, story)


def test_looks_within_a_second_count_as_one(tmp_path: Path) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        evidence = Evidence(recorder, "b", "a")
        await evidence.look()
        for _ in range(4):
            workers.ask("b", b"/cart", 500)
            new, _ = await evidence.look()
            await asyncio.sleep(0.5)
        assert new.looks == {"/cart": 2, ALL: 2}

    told(tmp_path, story)


def test_minute_that_the_recorder_writes_down_meanwhile_is_part_of_it_and_of_the_file(tmp_path: Path) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        evidence = Evidence(recorder, "b", "a")
        await evidence.look()
        for _ in range(3):
            workers.ask("b", b"/")
            await evidence.look()
            workers.ask("b", b"/")
            await recorder.finish()
        assert requests((await evidence.look())[0]) == {"/": (6, 0)}
        assert recorder.stats.since(0).paths["/"].requests == 6

    told(tmp_path, story, reads=True)


def test_file_that_fails_ends_no_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        workers.state = live("1", ago_s=3600)
        await recorder.look()
        evidence = Evidence(recorder, "b", "a")
        await evidence.look()
        workers.ask("b", b"/")
        await recorder.finish()
        workers.ask("b", b"/")
        workers.answers = [OSError("gone")]
        await evidence.look()
        assert requests((await evidence.look())[0]) == {"/": (2, 0)}

    with caplog.at_level(logging.ERROR):
        told(tmp_path / "missing", story, reads=True)
    assert "cannot read what visitors saw of the old version" in caplog.text


def test_watch_that_nobody_needs_any_more_is_told_nothing(tmp_path: Path) -> None:
    async def story(_: Workers, recorder: Recorder) -> None:
        evidence = Evidence(recorder, "b", "a")
        await evidence.look()
        assert len(recorder.listeners) == 1
        del evidence
        assert len(recorder.listeners) == 0

    told(tmp_path, story)


def test_old_version_has_its_last_minutes_and_none_of_another_version_in_its_slot(tmp_path: Path) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        workers.ask("a", b"/", 500)
        await recorder.look()
        workers.state = live("1")
        for _ in range(LAST_MINUTES + 5):
            workers.ask("a", b"/")
            await recorder.look()
            await asyncio.sleep(60)
        workers.state = live("1")  # It was restarted.
        _, old = await Evidence(recorder, "b", "a").look()
        assert requests(old) == {"/": (LAST_MINUTES, 0)}

    told(tmp_path, story)


def test_version_that_went_live_and_away_within_a_minute_has_no_failures_of_another_one_in_its_slot(
    tmp_path: Path,
) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        workers.state = live("1")
        workers.ask("a", b"/")
        await recorder.look()
        workers.ask("a", b"/checkout", 500)
        workers.state = live("2")
        await recorder.look()  # At the switch.
        workers.ask("a", b"/")
        _, old = await Evidence(recorder, "b", "a").look()
        assert requests(old) == {"/": (1, 0)}

    told(tmp_path, story)


def test_path_without_a_request_in_the_last_minutes_has_its_last_hour_since_the_version_went_live(
    tmp_path: Path,
) -> None:
    now = int(time.time()) // 60
    before, since = Minute(now - 44, "a", {"/": Tally({10: 5})}), Minute(now - 20, "a", {"/report": Tally({10: 3}, 3)})

    async def story(workers: Workers, recorder: Recorder) -> None:
        recorder.stats.add([before, since])
        workers.state = State()
        _, old = await Evidence(recorder, "b", "a").look()
        assert requests(old) == {"/": (5, 0), "/report": (3, 3)}
        workers.state = live("1", ago_s=40 * 60)
        workers.ask("a", b"/cart")
        _, old = await Evidence(recorder, "b", "a").look()
        assert requests(old) == {"/report": (3, 3), "/cart": (1, 0)}
        workers.state = live("2", ago_s=60)
        _, old = await Evidence(recorder, "b", "a").look()
        assert requests(old) == {}

    told(tmp_path, story, reads=True)


def test_failures_of_a_version_that_was_taken_back_do_not_count_as_those_of_the_live_one(tmp_path: Path) -> None:
    began = int(time.time()) // 60 // 15 * 15

    async def story(workers: Workers, recorder: Recorder) -> None:
        recorder.stats.add([Minute(began - 16, "a", {"/report": Tally({10: 3})})])
        recorder.stats.add(
            [Minute(began - 1, "a", {"/": Tally({10: 9})}), Minute(began - 1, "b", {"/new": Tally({10: 30}, 30)})]
        )
        workers.state = live("1", ago_s=3600)
        evidence = Evidence(recorder, "b", "a")
        _, old = await evidence.look()
        assert requests(old) == {"/report": (3, 0)}
        for _ in range(30):
            workers.ask("b", b"/new", 500)
        new, old = await evidence.look()
        assert judge(new, old, same_minutes=False).word == "worse"

    told(tmp_path, story, reads=True)


def test_failures_that_come_in_bursts_are_known_of_the_old_version(tmp_path: Path) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        for minute in range(9):
            for number in range(200):
                workers.ask("a", b"/bursts", 500 if minute % 3 == 0 and number < 30 else 200)
                workers.ask("a", b"/even", 500 if number < 10 else 200)
            await recorder.look()
            await asyncio.sleep(60)
        _, old = await Evidence(recorder, "b", "a").look()
        assert old.bursts.keys() == {"/bursts"}
        assert old.bursts["/bursts"] == pytest.approx(23.7, abs=0.1)

    told(tmp_path, story)


def test_in_a_share_the_old_version_goes_on_and_the_same_minutes_are_compared(tmp_path: Path) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        for path in (b"/", b"/cart"):
            for _ in range(100):
                workers.ask("a", path)
        evidence = Evidence(recorder, "b", "a", same_minutes=True)
        await evidence.look()
        await asyncio.sleep(WARM_S)
        for number in range(KNOWN):
            workers.ask("a", b"/", 500 if number < 5 else 200)
            workers.ask("b", b"/")
        workers.ask("a", b"/cart", 500)
        workers.ask("a", b"/new", 500)
        new, old = await evidence.look()
        assert requests(old) == {"/": (KNOWN, 5), "/cart": (101, 1), "/new": (1, 1)}
        assert old.meanwhile["/cart"].failed == old.meanwhile["/cart"].requests == 1
        assert (new.warm.requests, old.warm.requests) == (KNOWN, KNOWN + 2)

    told(tmp_path, story)


def test_time_is_that_since_the_switch_and_since_the_last_request(tmp_path: Path) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        evidence = Evidence(recorder, "b", "a")
        await evidence.look()
        for _ in range(20):
            await asyncio.sleep(1)
            for _ in range(10):
                workers.ask("b", b"/")
            new, old = await evidence.look()
        assert (new.seconds, new.quiet_s, new.warm.requests) == (20.0, 0.0, 0)
        await asyncio.sleep(20)
        new, old = await evidence.look()
        assert (new.seconds, new.quiet_s) == (40.0, 20.0)
        assert str(judge(new, old, same_minutes=False)) == "not enough requests (200 of 400)"

    told(tmp_path, story)


def test_without_a_proxy_nothing_is_known_and_nothing_called_better(tmp_path: Path) -> None:
    async def story(workers: Workers, recorder: Recorder) -> None:
        workers.observers.clear()
        evidence = Evidence(recorder, "b", "a")
        assert str(judge(*await evidence.look(), same_minutes=False)) == "not enough requests (0 of 50)"

    told(tmp_path, story)


def test_one_visitor_who_retries_a_broken_address_takes_no_version_back(tmp_path: Path) -> None:
    async def story() -> None:
        traffic = Traffic(tmp_path, 1, PATHS, 20, 0.01)
        await traffic.before(120)
        evidence = Evidence(traffic.recorder, "b", "a")
        words = [judge(*await evidence.look(), same_minutes=False).word]
        for _ in range(20):
            traffic.second("b")
            for _ in range(10):
                traffic.workers.ask("b", b"/orders/17", 500, visitor=4711)
            await asyncio.sleep(1)
            words.append(judge(*await evidence.look(), same_minutes=False).word)
        assert set(words) == {"not enough requests", "better"}

    run(story())


def test_failing_checkout_is_found_in_what_the_workers_count_and_an_equal_version_kept(tmp_path: Path) -> None:
    async def story() -> None:
        traffic = Traffic(tmp_path, 1, PATHS, 50, 0.01)
        await traffic.before(60)
        equal = await traffic.watch(20)
        found = await traffic.watch(20, {b"/checkout": 0.2})
        assert (equal[1].word, found[1].word) == ("better", "worse")
        assert found[0] <= 10
        assert "/checkout" in found[1].why

    run(story())
