"""What is told, and when: on a machine in memory, and by outboxes whose receivers fail."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from slot_machine.app import room
from slot_machine.app.notices import QUIET_S, Notices
from slot_machine.app.outbox import DELAYS_S, MOST_WAITING, NotSent, Outbox
from slot_machine.core.model import Attempt, Version
from slot_machine.core.notice import Notice
from slot_machine.host.network.probe import Answer
from tests.app.stories import LONG_S, SIDE_RUNS, WITH_PROBES, WITHOUT_PROBES, deploy, machine, rollback
from tests.fakes import COMMITS, Machine, processes_of, raising, run

pytestmark = pytest.mark.usefixtures("quiet")

Story = Callable[[Machine], Awaitable[None]]


def tell(data: Path, story: Story, config: dict[str, object] = WITHOUT_PROBES) -> None:
    async def told() -> None:
        async with machine(data, config) as made:
            await deploy(made, "a")
            await story(made)

    run(told())


def events(made: Machine) -> list[str]:
    return [notice.event for notice in made.told]


def test_deploys_and_a_rollback(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        await deploy(made, "b")
        await rollback(made)
        await asyncio.sleep(1)
        assert events(made) == ["deploy_started", "deploy_succeeded"] * 2 + ["rolled_back"]
        done = made.told[3]
        assert (done.app, done.commit, done.slot, done.kind) == ("shop", COMMITS["b"], "b", "deploy")
        assert (done.attempt, done.error, done.seconds > 0) == (2, "", True)
        assert len({notice.id for notice in made.told}) == 5

    tell(tmp_path, story)


def test_failed_deploy(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        made.faults.at, made.faults.strike = len(made.faults.names) + 3, raising(OSError(5, "broken"))
        await deploy(made, "b")
        await asyncio.sleep(1)
        failed = made.told[-1]
        assert (failed.event, "broken" in failed.error, bool(failed.stage)) == ("deploy_failed", True, True)
        assert failed.title == "shop: the deploy failed"
        assert "broken" in failed.text

    tell(tmp_path, story)


def test_crash_is_told_once_in_a_while_and_so_is_the_recovery(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        made.told.clear()
        made.crash()
        await asyncio.sleep(LONG_S)
        assert events(made) == ["crashed", "recovered"]
        crashed, recovered = made.told
        assert "exit code 7" in crashed.error
        assert (crashed.kind, crashed.attempt) == ("crash", made.store.attempts(1)[0].id)
        assert crashed.subject == recovered.subject == f"Subject of {COMMITS['a'][0]}"

        made.crash()
        await asyncio.sleep(LONG_S)
        assert events(made) == ["crashed", "recovered"]

        await asyncio.sleep(QUIET_S)
        made.crash()
        await asyncio.sleep(LONG_S)
        assert events(made)[2:] == ["crashed", "recovered"]

    tell(tmp_path, story)


def test_crash_of_a_worker_does_not_make_the_app_recover(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        await asyncio.sleep(LONG_S)
        made.told.clear()
        assert made.supervisor.release
        processes_of(made.supervisor.release.runs["worker"]).end(3)
        await asyncio.sleep(LONG_S)
        assert [(notice.event, notice.error) for notice in made.told] == [("crashed", "worker ended: exit code 3")]
        assert made.told[0].attempt == made.store.attempts(1)[0].id

    tell(tmp_path, story, {**WITHOUT_PROBES, "processes": SIDE_RUNS})


def test_unhealthy_app(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        made.told.clear()
        made.launcher.answers = [Answer(503, "503")] * 4
        await asyncio.sleep(LONG_S)
        assert events(made) == ["unhealthy", "recovered"]

    tell(tmp_path, story, {**WITH_PROBES, "restart_when_unhealthy": False})


def test_app_that_could_not_be_brought_back_and_recovers(tmp_path: Path) -> None:
    async def story(made: Machine) -> None:
        made.told.clear()
        failed = Attempt(id=2, kind="recovery", trigger="start", started_at="", result="failed")
        made.app.notices.ended(failed)
        made.app.notices.recovered(Version("a", COMMITS["a"]))
        await asyncio.sleep(1)
        assert events(made) == ["unhealthy", "recovered"]

    tell(tmp_path, story)


def test_lack_of_room_is_told_once() -> None:
    told: list[Notice] = []

    async def deliver(notice: Notice) -> None:
        told.append(notice)

    async def story() -> None:
        async with asyncio.TaskGroup() as tasks:
            lacking = iter(["", "20 MB", "21 MB", "", "22 MB"])

            def lack() -> str:
                found = next(lacking, None)
                if found is None:
                    raise OSError(5, "broken")
                return found

            keeping = tasks.create_task(room.keep_telling(lack, Notices("shop", {}, {"x": deliver}, tasks), 1.0))
            await asyncio.sleep(10)
            assert not keeping.done()
            keeping.cancel()

    run(story())
    assert [(notice.event, notice.error) for notice in told] == [("disk_low", "20 MB"), ("disk_low", "22 MB")]


class Receiver:
    """Takes notices after `failures` have been raised."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tried_s: list[float] = []
        self.took: list[str] = []

    async def __call__(self, notice: Notice) -> None:
        self.tried_s.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop(0)
        self.took.append(notice.id)


def sent(receiver: Receiver, notices: int = 1, for_s: float = 2000.0) -> Outbox:
    async def story() -> Outbox:
        async with asyncio.TaskGroup() as tasks:
            outbox = Outbox("https 1", receiver, tasks)
            for number in range(notices):
                outbox.put(Notice(event="crashed", id=str(number), app="shop", time=""))
            await asyncio.sleep(for_s)
            await outbox.end(1.0)
        return outbox

    return run(story())


def test_notice_that_did_not_arrive_is_sent_again_later_and_before_the_next_one() -> None:
    receiver = Receiver(NotSent("refused"), NotSent("refused"))
    outbox = sent(receiver, notices=2)

    first, second, third, _ = receiver.tried_s
    assert (second - first, third - second) == pytest.approx(DELAYS_S[:2], abs=0.5)
    assert receiver.took == ["0", "1"]
    assert (bool(outbox.receiver.last), outbox.receiver.error) == (True, "")


def test_notice_that_never_arrives_is_given_up() -> None:
    receiver = Receiver(*[NotSent("refused")] * (len(DELAYS_S) + 1))
    outbox = sent(receiver, notices=2)

    assert receiver.took == ["1"]
    assert outbox.receiver.error == ""


def test_notice_that_may_have_arrived_is_not_sent_again() -> None:
    receiver = Receiver(TimeoutError("no answer"), ValueError("a defect"))
    outbox = sent(receiver, notices=2)

    assert (len(receiver.tried_s), receiver.took) == (2, [])
    assert "a defect" in outbox.receiver.error


def test_oldest_ones_are_lost_if_a_receiver_takes_none() -> None:
    receiver = Receiver(NotSent("refused"))
    sent(receiver, notices=MOST_WAITING + 5)

    assert receiver.took == [str(number) for number in range(5, MOST_WAITING + 5)]


def test_end_waits_for_what_is_under_way_but_not_for_long() -> None:
    async def story() -> None:
        async with asyncio.TaskGroup() as tasks:
            ended: list[float] = []
            began_s = asyncio.get_running_loop().time()

            async def slow(_: Notice) -> None:
                await asyncio.sleep(takes_s)
                ended.append(takes_s)

            notices = Notices("shop", {"crashed": slow}, {}, tasks)
            for takes_s in (2.0, 99.0):
                notices.crashed(Version("a", "c"), str(takes_s), "x")
                await notices.end()
            assert ended == [2.0]
            assert asyncio.get_running_loop().time() - began_s < 6

    run(story())
