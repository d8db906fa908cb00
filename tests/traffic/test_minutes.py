"""The daemon takes what its workers counted: all of it, once, and only from workers that know how."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from slot_machine.core.errors import DataPlaneGone
from slot_machine.core.minutes import Minute, Tally
from slot_machine.host.process.session import Session
from slot_machine.proxy.remote import Connection, Introduction
from slot_machine.proxy.wire import Op, Reply, Settings, Take
from slot_machine.traffic.dataplane import DataPlane
from slot_machine.traffic.worker import Left, Worker

SOME = [Minute(minute, "a", {"/": Tally({10: 1})}) for minute in (7, 8)]


class Answers:
    """Stands for the connection to a worker."""

    def __init__(self, *minutes: Minute, gone: bool = False) -> None:
        self.minutes = list(minutes)
        self.gone = gone
        self.orders: list[Op] = []

    async def call(self, order: Op) -> Reply:
        self.orders.append(order)
        if self.gone:
            raise DataPlaneGone("gone")
        return Reply(1, minute=self.minutes.pop(0) if self.minutes else None)


def worker(folder: Path, answers: Answers) -> Worker:
    made = Worker(folder / "proxy-0.sock", {}, Settings, "shop")
    made._connection = cast(Connection, answers)
    return made


@pytest.mark.parametrize("current", [False, True])
def test_all_minutes_are_taken_and_the_current_one_ends_once(tmp_path: Path, current: bool) -> None:
    answers = Answers(*SOME)

    assert asyncio.run(worker(tmp_path, answers).take_minutes(current=current)) == SOME
    assert answers.orders == [Take(current), Take(), Take()]


def test_worker_that_is_gone_has_nothing(tmp_path: Path) -> None:
    assert asyncio.run(worker(tmp_path, Answers(gone=True)).take_minutes(current=False)) == []


@pytest.mark.parametrize("knows", [False, True])
def test_worker_of_an_earlier_release_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows: bool
) -> None:
    answers = Answers(*SOME)

    async def connected(_: Path) -> Answers:
        return answers

    monkeypatch.setattr("slot_machine.traffic.worker.remote.connect", connected)
    left = Left(tmp_path, cast(Session, None), Introduction(1, Settings(minutes=knows), -1, {}))
    taken = Worker(tmp_path / "proxy-0.sock", {}, Settings, "shop")

    async def story() -> list[Minute]:
        await taken.take_over(left)
        answers.orders.clear()
        return await taken.take_minutes(current=False)

    assert asyncio.run(story()) == (SOME[1:] if knows else [])
    assert bool(answers.orders) == knows


def test_minutes_of_retiring_workers_count_too(tmp_path: Path) -> None:
    plane = DataPlane(tmp_path, Settings(), 1, "shop")
    plane._workers = [worker(tmp_path, Answers(SOME[0]))]
    plane._retiring = [worker(tmp_path, Answers(SOME[1]))]

    assert asyncio.run(plane.take_minutes(current=False)) == SOME
