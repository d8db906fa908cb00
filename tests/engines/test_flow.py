"""Deploys on any engine: what is live, and what the history says, after each step was the last or the worst one."""

import signal
from collections.abc import Callable, Generator

import pytest

from slot_machine.core.errors import EngineFailed
from slot_machine.engines import attempt
from slot_machine.engines.interrupts import Interrupts
from tests.fake_engine import FakeEngine, Killed
from tests.flows import NEW, NEW_KEY, NEXT, OLD, At, World

SIDES = ("before", "after")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "PAUSE_S", 0.0)


def once(side: str, number: int, happens: Callable[[], None]) -> At:
    def at(_: FakeEngine, when: str, step: int) -> None:
        if (when, step) == (side, number):
            happens()

    return at


def from_then_on(side: str, number: int, happens: Callable[[], None]) -> At:
    def at(_: FakeEngine, when: str, step: int) -> None:
        if step > number or (when, step) == (side, number):
            happens()

    return at


def fail() -> None:
    raise EngineFailed(f"no route to {NEW_KEY}", f"try {NEW_KEY}")


def kill() -> None:
    raise Killed


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def steps(world: World, commit: str = NEW) -> list[str]:
    engine = world.engine()
    world.deploy(commit, engine)
    return engine.steps


def whole(world: World, commit: str) -> None:
    """Nothing of another version is there, and the history says so."""
    cluster = world.cluster
    succeeded = [record.commit for _, record in sorted(cluster.records.items()) if record.result == "succeeded"]
    assert succeeded[-1:] == ([commit] if commit else [])
    assert cluster.web == commit
    assert set(cluster.services) == set(world.app(commit).processes if commit else ())
    assert not world.leaks()


def test_deploy_replaces_what_is_live() -> None:
    world = World()
    assert steps(world).count("apply") == 1
    whole(world, NEW)
    assert world.cluster.history == [(1, "deploy", "succeeded"), (2, "deploy", "succeeded")]
    assert world.cluster.jobs == [OLD, NEW]


EACH = [(side, number) for number in range(1, len(steps(World())) + 1) for side in SIDES]
APPLIES = steps(World()).index("apply")
FIRST = [(side, number) for number in range(1, len(steps(World(empty=True))) + 1) for side in SIDES]


@pytest.mark.parametrize("happens", [fail, interrupt])
@pytest.mark.parametrize(("side", "number"), EACH)
def test_step_that_fails_or_is_interrupted(side: str, number: int, happens: Callable[[], None]) -> None:
    world = World()
    world.key = NEW_KEY
    reply = world.deploy(NEW, world.engine(once(side, number, happens)))
    whole(world, NEW if reply["success"] else OLD)
    results = [result for _, _, result in world.cluster.history[1:]]
    if reply["success"]:
        assert results == ["succeeded"]
        return
    assert results in ([], ["failed" if happens is fail else "cancelled"])
    assert reply["interrupted"] == (happens is interrupt)
    assert world.cluster.secrets == {world.cluster.records[1].app.env_digest}
    assert world.deploy(NEW)["success"], "it can be tried again at once"


@pytest.mark.parametrize(("side", "number"), FIRST)
def test_first_deploy_that_fails_leaves_nothing(side: str, number: int) -> None:
    for happens in (fail, interrupt):
        world = World(empty=True)
        reply = world.deploy(NEW, world.engine(once(side, number, happens)))
        whole(world, NEW if reply["success"] else "")
        assert reply["success"] or not world.cluster.secrets


@pytest.mark.parametrize(("side", "number"), EACH)
def test_engine_that_stays_out_of_reach(side: str, number: int) -> None:
    world = World()
    world.key = NEW_KEY
    reply = world.deploy(NEW, world.engine(from_then_on(side, number, fail)))
    assert not world.leaks()
    if world.cluster.web not in (OLD, NEW) and not reply["success"]:
        assert "is not back" in str(reply["error"])
        assert "`slot-machine rollback 1` tries again" in str(reply["hint"])
    latest = world.cluster.records[max(world.cluster.records)]
    if not latest.ended:
        cancelled = world.cancel()
        assert cancelled["success"]
        whole(world, NEW if cancelled["complete"] else OLD)
    assert world.deploy(NEXT)["success"]
    whole(world, NEXT)


@pytest.mark.parametrize(("side", "number"), EACH)
def test_killed_client_is_settled_by_cancel(side: str, number: int) -> None:
    world = World()
    world.key = NEW_KEY
    assert world.deploy(NEW, world.engine(from_then_on(side, number, kill))) == {} or number == len(EACH) // 2
    if world.cluster.history[1:] and not world.cluster.records[2].ended:
        assert "slot-machine cancel" in str(world.deploy(NEXT)["hint"])
        reply = world.cancel()
        whole(world, NEW if reply["complete"] else OLD)
        assert world.cluster.history[1] == (2, "deploy", "succeeded" if reply["complete"] else "cancelled")
    assert world.deploy(NEXT)["success"]
    whole(world, NEXT)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("side", "number"), EACH)
def test_deploy_over_one_whose_client_was_killed(side: str, number: int, fails: bool) -> None:
    world = World()
    world.key = NEW_KEY
    world.deploy(NEW, world.engine(from_then_on(side, number, kill)))
    world.pass_time()
    world.cluster.bad |= {NEXT} if fails else set()
    reply = world.deploy(NEXT)
    assert reply["success"] is not fails
    killed = world.cluster.records[2]
    was_whole = killed.commit == NEW and killed.result == "succeeded"
    assert number > APPLIES or not was_whole
    whole(world, NEXT if not fails else NEW if was_whole else OLD)
    assert "running" not in [result for _, _, result in world.cluster.history]


@pytest.mark.parametrize(("side", "number"), EACH)
def test_second_interruption_does_not_stop_the_way_back(side: str, number: int) -> None:
    world = World()
    reply = world.deploy(NEW, world.engine(from_then_on(side, number, interrupt)))
    whole(world, NEW if reply["success"] else OLD)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_interrupt_it(name: str) -> None:
    sent = signal.Signals[name]
    before = signal.signal(sent, signal.SIG_DFL)
    try:
        for side, number in EACH:
            world = World()
            reply = world.deploy(NEW, world.engine(once(side, number, lambda: signal.raise_signal(sent))))
            whole(world, NEW if reply["success"] else OLD)
        assert signal.getsignal(sent) == signal.SIG_DFL
    finally:
        signal.signal(sent, before)


def test_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        world = World()
        assert world.deploy(NEW, world.engine(once("before", 5, lambda: signal.raise_signal(signal.SIGHUP))))["success"]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_the_first_signal_interrupts() -> None:
    """Also before the way back begins."""

    def lines() -> Generator[str, None, None]:
        try:
            interrupt()
        except KeyboardInterrupt:
            interrupt()
            yield "goes back"

    assert list(Interrupts().through(lines())) == ["goes back"]


def test_interruption_while_progress_is_printed() -> None:
    total = len(list(World().lines(NEW)))
    for count in range(1, total + 1):
        world = World()
        lines = world.lines(NEW)
        told = [next(lines) for _ in range(count)]
        signal.raise_signal(signal.SIGINT)
        reply = [*told, *lines][-1]
        assert reply["success"] is (count == total)
        whole(world, NEW if reply["success"] else OLD)
        assert world.cluster.history[1][2] == ("succeeded" if reply["success"] else "cancelled")


def test_nobody_follows_it_any_more() -> None:
    for count in range(1, 16):
        world = World()
        lines = world.lines(NEW)
        told = [next(lines) for _ in range(count)]
        lines.close()  # type: ignore[attr-defined]
        whole(world, NEW if "event" not in told[-1] or world.cluster.records[2].result == "succeeded" else OLD)


@pytest.mark.parametrize(("side", "number"), EACH)
def test_other_deploy_at_the_same_time(side: str, number: int) -> None:
    world = World()
    others: list[bool] = []
    second = once(side, number, lambda: others.append(bool(world.deploy(NEXT)["success"])))
    reply = world.deploy(NEW, world.engine(second))
    assert [bool(reply["success"]), *others].count(True) >= 1
    assert "another deploy" not in str(reply) or reply["stage"] == "", "it is refused, and has not failed in a stage"
    last = world.cluster.records[max(number for number, _, result in world.cluster.history if result == "succeeded")]
    whole(world, last.commit)
    assert "running" not in [result for _, _, result in world.cluster.history]


@pytest.mark.parametrize(("side", "number"), EACH)
def test_cancelled_from_another_computer(side: str, number: int) -> None:
    world = World()
    cancelled: list[object] = []
    engine = world.engine(once(side, number, lambda: cancelled.append(world.cancel()["success"])))
    reply = world.deploy(NEW, engine)
    whole(world, NEW if reply["success"] else OLD)
    if cancelled == [True] and not reply["success"]:
        assert world.cluster.history[1] == (2, "deploy", "cancelled")
        assert reply["interrupted"] is False
        assert number > APPLIES or "apply" not in engine.steps, "it was noticed before anything was changed"
