"""The parts of one app together, on a machine in memory: started, stopped, and left to the next daemon."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from slot_machine.app.app import REAP_INTERVAL_S, App
from slot_machine.app.opening import Found, Options
from slot_machine.core.config_file import parse
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.errors import KeeperGone
from slot_machine.host.files.reserve import CHECK_INTERVAL_S, Reserve
from slot_machine.host.git.worktrees import Worktrees
from slot_machine.host.logs import SlotLogs
from slot_machine.host.process import containment
from slot_machine.traffic.mode import Mode
from tests.app.stories import LONG_S, WITHOUT_PROBES, a_is_live, a_was_live, check_rest, deploy
from tests.fakes import Faults, Machine, raising, run

ERRORS = pytest.mark.parametrize(
    "error",
    [KeeperGone("it is gone"), PermissionError(1, "Operation not permitted"), ValueError("embedded null byte")],
    ids=["named", "of the system", "unforeseen"],
)

End = Callable[[App], Awaitable[None]]
ENDS: dict[str, End] = {"stop": App.stop, "let go": App.let_go}
EACH_END = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)

pytestmark = pytest.mark.usefixtures("quiet")


class Reaper:
    """Counts in place of reaping."""

    def __init__(self) -> None:
        self.reaps = 0
        self.failures: list[OSError] = []

    def reap(self, _: object) -> None:
        self.reaps += 1
        if self.failures:
            raise self.failures.pop()


@pytest.fixture(autouse=True)
def reaper(monkeypatch: pytest.MonkeyPatch) -> Reaper:
    """Neither the processes nor the disk of these tests are the app's."""
    reaper = Reaper()
    monkeypatch.setattr(containment, "OrphanReaper", lambda: reaper)
    monkeypatch.setattr(Reserve, "make", lambda _: None)
    return reaper


@asynccontextmanager
async def machine(data: Path, strategy: str = "overlap") -> AsyncIterator[Machine]:
    """At its end, the group has no task left: else all would wait for ever, which the clock does not allow."""
    async with asyncio.TaskGroup() as tasks:
        made = Machine.make(data, tasks, Faults(), WITHOUT_PROBES | {"strategy": strategy})
        yield made
    made.close()


async def started(machine: Machine) -> None:
    """With version A live, as an earlier daemon left it, and started again."""
    await a_was_live(machine)
    await machine.app.start()
    await asyncio.sleep(0.01)


async def ended(machine: Machine, end: End = App.stop) -> None:
    await end(machine.app)
    await asyncio.sleep(0)  # Its tasks have been cancelled, and end now.


def strike_in(machine: Machine, at: int, strike: Callable[[], None]) -> None:
    machine.faults.names.clear()
    machine.faults.at, machine.faults.strike = at, strike


def check_stopped(machine: Machine, where: str = "") -> None:
    assert not machine.running, where
    assert not machine.traffic.keeps, where
    assert "stop mode" in machine.faults.names, where


def check_let_go(machine: Machine, where: str = "") -> None:
    release = machine.supervisor.release
    assert release, where
    assert machine.running == [release.web], where
    assert machine.traffic.routed == release.upstream, where
    assert not machine.traffic.keeps, where
    assert "let go of mode" in machine.faults.names, where
    assert not {"stop", "kill", "forget", "close", "stop mode"} & set(machine.faults.names), where


def check(end: End, machine: Machine, where: str = "") -> None:
    (check_stopped if end is App.stop else check_let_go)(machine, where)


def steps(data: Path, end: End) -> list[str]:
    async def names() -> list[str]:
        async with machine(data) as made:
            await started(made)
            made.faults.names.clear()
            await ended(made, end)
            return list(made.faults.names)

    return run(names())


def test_start_brings_the_live_version_back_and_keeps_the_traffic(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await started(made)
            check_rest(made, "")
            assert made.traffic.keeps
            await ended(made)

    run(story())


def test_stop_accepts_nothing_more_then_ends_the_app_then_the_traffic(tmp_path: Path) -> None:
    names = steps(tmp_path, App.stop)

    assert names.index("close") < names.index("drained") < names.index("stop") < names.index("stop mode")


@EACH_END
def test_end(tmp_path: Path, end: End) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await started(made)
            made.faults.names.clear()
            await ended(made, end)
            check(end, made)

    run(story())


@EACH_END
def test_end_of_what_has_nothing_live(tmp_path: Path, end: End) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await made.app.start()
            await ended(made, end)
            assert not made.running
            assert not made.traffic.keeps

    run(story())


@EACH_END
@ERRORS
def test_whatever_fails_at_the_end_the_rest_is_done(tmp_path: Path, end: End, error: Exception) -> None:
    async def failed_in(at: int, step: str) -> None:
        async with machine(tmp_path) as made:
            await started(made)
            strike_in(made, at, raising(error))
            await ended(made, end)
            check(end, made, f"failed in step {at}, {step}")

    for at, step in enumerate(steps(tmp_path, end), 1):
        run(failed_in(at, step))


@EACH_END
def test_end_that_is_cancelled_in_any_step_can_be_done_again(tmp_path: Path, end: End) -> None:
    async def cancelled_in(at: int, step: str) -> None:
        async with machine(tmp_path) as made:
            await started(made)
            came = asyncio.Event()
            strike_in(made, at, came.set)
            ending = asyncio.ensure_future(end(made.app))
            await came.wait()
            ending.cancel()
            await asyncio.wait([ending])
            where = f"cancelled in step {at}, {step}"
            assert ending.cancelled(), where
            await ended(made, end)
            check(end, made, where)

    for at, step in enumerate(steps(tmp_path, end), 1):
        run(cancelled_in(at, step))


def recovery_steps(data: Path, strategy: str) -> list[str]:
    async def names() -> list[str]:
        async with machine(data, strategy) as made:
            await a_was_live(made)
            made.faults.names.clear()
            await made.app.start()
            names = list(made.faults.names)
            await ended(made)
            return names

    return run(names())


@pytest.mark.parametrize("strategy", ["overlap", "replace"])
@ERRORS
def test_whatever_fails_at_the_start_the_live_version_serves(tmp_path: Path, strategy: str, error: Exception) -> None:
    async def failed_in(at: int, step: str) -> None:
        async with machine(tmp_path, strategy) as made:
            await a_was_live(made)
            strike_in(made, at, raising(error))
            await made.app.start()
            await asyncio.sleep(LONG_S)
            check_rest(made, f"failed in step {at}, {step}")
            assert made.traffic.keeps
            await ended(made)
            check_stopped(made)

    for at, step in enumerate(recovery_steps(tmp_path, strategy), 1):
        run(failed_in(at, step))


async def started_until(made: Machine, at: int) -> "asyncio.Task[None]":
    """The recovery of an app whose version was live, in its step `at`."""
    await a_was_live(made)
    came = asyncio.Event()
    strike_in(made, at, came.set)
    recovery = made.app.start()
    await came.wait()
    return recovery


@pytest.mark.parametrize("strategy", ["overlap", "replace"])
def test_stop_in_any_step_of_the_start_leaves_nothing(tmp_path: Path, strategy: str) -> None:
    async def stopped_in(at: int, step: str) -> None:
        async with machine(tmp_path, strategy) as made:
            recovery = await started_until(made, at)
            await ended(made)
            assert recovery.done()
            check_stopped(made, f"stopped in step {at}, {step}")

    for at, step in enumerate(recovery_steps(tmp_path, strategy), 1):
        run(stopped_in(at, step))


@pytest.mark.parametrize("strategy", ["overlap", "replace"])
def test_recovery_that_is_cancelled_in_any_step_can_be_stopped(tmp_path: Path, strategy: str) -> None:
    async def cancelled_in(at: int, step: str) -> None:
        async with machine(tmp_path, strategy) as made:
            recovery = await started_until(made, at)
            recovery.cancel()
            await asyncio.wait([recovery])
            await ended(made)
            check_stopped(made, f"cancelled in step {at}, {step}")

    for at, step in enumerate(recovery_steps(tmp_path, strategy), 1):
        run(cancelled_in(at, step))


@EACH_END
def test_end_in_the_iteration_of_the_start(tmp_path: Path, end: End) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            recovery = made.app.start()
            await ended(made, end)
            await asyncio.wait([recovery])
            assert not made.running
            assert not made.traffic.keeps

    run(story())


def test_stop_within_a_deploy_abandons_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            deploying = asyncio.ensure_future(deploy(made, "b"))
            await asyncio.sleep(0)
            await ended(made)
            await deploying
            check_stopped(made)
            assert made.store.attempts(1)[0].result == "interrupted"

    run(story())


def test_orphans_are_reaped_whatever_fails_meanwhile(tmp_path: Path, reaper: Reaper) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            reaper.failures.append(OSError(24, "Too many open files"))
            await made.app.start()
            await asyncio.sleep(3.5 * REAP_INTERVAL_S)
            assert reaper.reaps == 3
            await ended(made)
            await asyncio.sleep(3.5 * REAP_INTERVAL_S)
            assert reaper.reaps == 3

    run(story())


def test_app_of_what_was_found(tmp_path: Path) -> None:
    config, _ = parse('{"start_command": "x", "log_max_mb": 0, "spare_tree": false}')
    options = Options(
        config, config, tmp_path / FILE_NAME, tmp_path / "repo", tmp_path, proxy=True, rebuild_state=False
    )

    async def story() -> None:
        async with machine(tmp_path) as made, asyncio.TaskGroup() as tasks:
            found = Found(made.store, cast(Worktrees, made.trees), [], cast(Mode, made.mode), FILE_NAME)
            app = App.of(options, found, tasks)
            await app.start()
            assert made.traffic.history == [None]
            assert app.mode is found.mode
            assert not app.supervisor.watching
            await app.stop()
            await asyncio.sleep(0)
            check_stopped(made)

    run(story())


def test_reserve_and_logs_are_kept_until_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_at: list[float] = []
    logs: list[str] = []

    async def keep(_: SlotLogs) -> None:
        logs.append("kept small")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            logs.append("ended")

    monkeypatch.setattr(SlotLogs, "keep", keep)
    monkeypatch.setattr(Reserve, "make", lambda _: made_at.append(asyncio.get_running_loop().time()))

    async def story() -> None:
        async with machine(tmp_path) as made:
            await made.app.start()
            await asyncio.sleep(1.5 * CHECK_INTERVAL_S)
            await ended(made)
            await asyncio.sleep(1.5 * CHECK_INTERVAL_S)

    run(story())
    assert len(made_at) == 2
    assert logs == ["kept small", "ended"]
