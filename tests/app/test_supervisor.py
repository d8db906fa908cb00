"""The supervisor on a machine in memory: what counts as healthy, and what is tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from slot_machine.app.monitor import FAILURES_IN_A_ROW, SETTLED_AFTER_S
from slot_machine.app.release import Release
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from slot_machine.core.upstream import Upstream
from slot_machine.host.network.probe import Answer
from tests.fakes import COMMITS, HEALTHY, Faults, Machine, processes_of, raising, run, until

A = Version("a", COMMITS["a"])
SICK = Answer(503, "503")
INTERVAL_S = 1.0

Story = Callable[[Machine], Awaitable[None]]


def tell(data: Path, story: Story, **config: object) -> None:
    """With version `a` live."""

    async def told() -> None:
        async with asyncio.TaskGroup() as tasks:
            settings = {"health_interval_ms": int(INTERVAL_S * 1000)} | config
            machine = Machine.make(data, tasks, Faults(), settings)
            machine.supervisor.watch(await machine.launcher.launch(A), 1)
            await machine.traffic.route(machine.launcher.started[0].upstream)
            await asyncio.sleep(0.01)
            await story(machine)
            await machine.deployer.stop()
            assert not machine.running
        machine.close()

    run(told())


def test_what_went_live_is_healthy_at_once(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        assert machine.supervisor.healthy
        assert machine.supervisor.unhealthy_reason == ""

    tell(tmp_path, story)


def test_what_crashed_is_healthy_when_it_has_stayed_up(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        machine.crash()
        await asyncio.sleep(0.1)
        assert not machine.supervisor.running
        assert "exit code 7" in machine.supervisor.unhealthy_reason

        await asyncio.sleep(1.1)
        assert machine.supervisor.running
        assert not machine.supervisor.healthy
        assert "started again" in machine.supervisor.unhealthy_reason

        await asyncio.sleep(SETTLED_AFTER_S - 0.5)
        assert not machine.supervisor.healthy
        await asyncio.sleep(0.5)
        assert machine.supervisor.healthy

    tell(tmp_path, story)


def test_what_crashes_again_and_again_is_never_healthy(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        for _ in range(5):
            machine.crash()
            await until(lambda: machine.supervisor.running)
            for _ in range(30):
                assert not machine.supervisor.healthy
                await asyncio.sleep(0.1)

    tell(tmp_path, story)


def test_doubt_after_a_crash_outlives_a_deploy_that_fails(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        machine.crash()
        await asyncio.sleep(2)
        assert await machine.supervisor.pause()
        await machine.supervisor.resume(A)
        assert not machine.supervisor.healthy

        await asyncio.sleep(SETTLED_AFTER_S)
        assert machine.supervisor.healthy

    tell(tmp_path, story)


def test_what_did_not_come_back_is_doubted_like_a_crash(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        release = await machine.supervisor.pause()
        assert release
        await release.stop(0)
        machine.launcher.failures.append(StageFailed("start", "no"))
        await machine.supervisor.resume(A)
        await until(lambda: machine.supervisor.running)
        assert not machine.supervisor.healthy

        await asyncio.sleep(SETTLED_AFTER_S)
        assert machine.supervisor.healthy

    tell(tmp_path, story)


def test_what_lost_its_port_to_another_program_is_started_anew(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        paused = await machine.supervisor.pause()
        assert paused
        machine.launcher.taken = StageFailed("switch", "port 7 is not the app's")
        await machine.supervisor.resume(A)

        assert not paused.running
        assert machine.supervisor.release
        assert machine.traffic.routed == machine.supervisor.release.upstream != paused.upstream

    tell(tmp_path, story)


def test_three_failures_in_a_row_make_it_unhealthy_and_a_success_healthy(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        machine.launcher.answers += [SICK] * (FAILURES_IN_A_ROW - 1) + [HEALTHY] + [SICK] * FAILURES_IN_A_ROW
        await asyncio.sleep((FAILURES_IN_A_ROW * 2 - 1) * INTERVAL_S + 0.5)
        assert machine.supervisor.healthy

        await asyncio.sleep(INTERVAL_S)
        assert not machine.supervisor.healthy
        assert machine.supervisor.running
        assert "503" in machine.supervisor.unhealthy_reason
        assert machine.supervisor.monitor.failures == {"503": FAILURES_IN_A_ROW * 2 - 1}

        await asyncio.sleep(INTERVAL_S)
        assert machine.supervisor.healthy
        assert machine.supervisor.web.restarts == 0

    tell(tmp_path, story)


def test_what_could_not_be_asked_says_nothing(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        machine.launcher.answers += [SICK, SICK, *[OSError(24, "Too many open files")] * 5]
        await asyncio.sleep(7 * INTERVAL_S)

        assert machine.supervisor.healthy

    tell(tmp_path, story)


def test_nothing_is_asked_with_an_interval_of_0(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        machine.crash()
        await asyncio.sleep(60)

        assert machine.supervisor.healthy
        assert "probe" not in machine.faults.names

    tell(tmp_path, story, health_interval_ms=0)


def test_unhealthy_app_is_started_again_if_so_configured(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        assert machine.supervisor.release
        first = machine.supervisor.release.web
        machine.launcher.answers += [SICK] * FAILURES_IN_A_ROW
        await asyncio.sleep((FAILURES_IN_A_ROW + 0.5) * INTERVAL_S)

        assert not first.running
        assert machine.faults.names.index("drained") < machine.faults.names.index("stop")
        assert machine.traffic.routed is None
        assert "unhealthy" in machine.supervisor.web.last_exit
        await asyncio.sleep(1)
        assert machine.supervisor.running
        assert machine.supervisor.web.restarts == 1
        assert not machine.supervisor.healthy
        await asyncio.sleep(SETTLED_AFTER_S)
        assert machine.supervisor.healthy

    tell(tmp_path, story, restart_when_unhealthy=True)


@pytest.mark.parametrize(
    "error",
    [StageFailed("start", "no", hint="do this"), OSError(98, "no free port"), ValueError("embedded null byte")],
    ids=["named", "of the system", "unforeseen"],
)
def test_start_that_fails_is_tried_again_with_backoff(tmp_path: Path, error: Exception) -> None:
    async def story(machine: Machine) -> None:
        machine.launcher.failures += [error] * 4
        began_s = asyncio.get_running_loop().time()
        machine.crash()
        await until(lambda: not machine.launcher.failures)
        await asyncio.sleep(0.1)
        assert str(error) in machine.supervisor.web.last_exit
        assert ("do this" in machine.supervisor.web.last_exit) == isinstance(error, StageFailed)
        await until(lambda: machine.supervisor.running)

        assert asyncio.get_running_loop().time() - began_s == pytest.approx(1 + 2 + 4 + 8 + 16, abs=1)
        assert machine.traffic.routed == machine.running[0].upstream

    tell(tmp_path, story)


def test_what_runs_is_routed_as_soon_as_that_works(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        release = await machine.supervisor.pause()
        await machine.traffic.hold(1)
        machine.faults.at = len(machine.faults.names) + 2  # The first step is to ask whether it can be adopted.
        machine.faults.strike = raising(OSError("no"))

        await machine.supervisor.resume(A)

        assert machine.traffic.routed is None
        await asyncio.sleep(2)
        assert release
        assert machine.running == [release.web]
        assert machine.traffic.routed == release.upstream

    tell(tmp_path, story)


@pytest.mark.parametrize("failures", [1, FAILURES_IN_A_ROW])
def test_what_is_taken_over_is_healthy_once_it_has_answered(tmp_path: Path, failures: int) -> None:
    async def story(machine: Machine) -> None:
        release = await machine.supervisor.pause()
        assert release
        web = release.web
        machine.launcher.answers += [SICK] * failures
        await machine.supervisor.take_over(release)
        assert machine.supervisor.running
        assert not machine.supervisor.healthy
        assert "took it over" in machine.supervisor.unhealthy_reason

        await asyncio.sleep((FAILURES_IN_A_ROW - 0.5) * INTERVAL_S)
        assert machine.supervisor.healthy == (failures == 1)
        assert web.running == (failures == 1), "only after as many failures as ever"

    tell(tmp_path, story, restart_when_unhealthy=True)


def test_what_is_taken_over_and_well_is_healthy_at_once(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        release = await machine.supervisor.pause()
        assert release
        machine.launcher.answers.append(HEALTHY)
        await machine.supervisor.take_over(release)
        assert machine.supervisor.healthy
        assert not machine.launcher.answers

    tell(tmp_path, story)


def test_what_hangs_does_not_hold_up_the_daemon_that_takes_it_over(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        release = await machine.supervisor.pause()
        assert release
        machine.launcher.hangs = True
        async with asyncio.timeout(2):
            await machine.supervisor.take_over(release)
        assert machine.supervisor.watching
        assert not machine.supervisor.healthy

    tell(tmp_path, story)


def test_what_makes_way_says_why_it_is_not_healthy(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        release = await machine.supervisor.pause()
        assert release
        await release.stop(0)
        assert not machine.supervisor.healthy
        assert "makes way" in machine.supervisor.unhealthy_reason

    tell(tmp_path, story)


def test_what_is_drained_because_it_is_unhealthy_says_so(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        reasons: list[str] = []

        async def drained(_: Upstream) -> None:
            reasons.append(machine.supervisor.unhealthy_reason)

        machine.traffic.drained = drained  # type: ignore[method-assign]
        machine.launcher.answers += [SICK] * FAILURES_IN_A_ROW
        await until(lambda: machine.supervisor.web.restarts)

        assert ["503" in reason for reason in reasons] == [True]
        del machine.traffic.drained

    tell(tmp_path, story, restart_when_unhealthy=True)


def test_run_that_cannot_be_watched_is_tried_again_once_a_second(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        assert machine.supervisor.release
        web = processes_of(machine.supervisor.release.web)
        exited, tries = web.exited, []

        async def unreadable() -> int:
            tries.append(asyncio.get_running_loop().time())
            if len(tries) < 4:
                raise OSError(24, "Too many open files")
            return await exited()

        web.exited = unreadable  # type: ignore[method-assign]
        assert await machine.supervisor.pause()
        await machine.supervisor.resume(A)
        await until(lambda: len(tries) == 4)

        assert [later - tries[0] for later in tries] == pytest.approx([0, 1, 2, 3])
        assert web.exit_code is None
        machine.crash()
        await until(lambda: machine.supervisor.web.restarts)

    tell(tmp_path, story)


def test_pause_does_not_wait_for_the_next_try_to_watch(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        assert machine.supervisor.release
        web = processes_of(machine.supervisor.release.web)
        exited, tries = web.exited, iter(range(100))

        async def unreadable() -> int:
            if next(tries, None) is None:
                return await exited()
            raise OSError(24, "Too many open files")

        web.exited = unreadable  # type: ignore[method-assign]
        assert await machine.supervisor.pause()
        await machine.supervisor.resume(A)
        await asyncio.sleep(0.5)
        began_s = asyncio.get_running_loop().time()
        assert await machine.supervisor.pause()
        assert asyncio.get_running_loop().time() == began_s
        assert machine.running

    tell(tmp_path, story)


async def cancelled_pause(machine: Machine) -> None:
    pausing = asyncio.ensure_future(machine.supervisor.pause())
    await asyncio.sleep(0.1)
    pausing.cancel()
    await asyncio.wait([pausing])
    assert pausing.cancelled()


async def let_go(machine: Machine) -> None:
    await machine.supervisor.let_go()


@pytest.mark.parametrize("end", [cancelled_pause, let_go])
def test_watch_has_ended_its_work_when_it_has_ended(tmp_path: Path, end: Story) -> None:
    """Else a next start, or a next daemon, could come before the end of this one."""
    ended: list[str] = []

    async def story(machine: Machine) -> None:
        assert machine.supervisor.release
        web = processes_of(machine.supervisor.release.web)
        kill = web.kill

        async def slow(grace_s: float) -> bool:  # noqa: ARG001
            await asyncio.sleep(5)
            return False

        async def kill_slowly() -> None:
            await asyncio.sleep(5)
            await kill()
            ended.append("run")

        web.stop, web.kill = slow, kill_slowly  # type: ignore[method-assign]
        machine.crash()
        await asyncio.sleep(0.1)
        await end(machine)
        assert ended == ["run"]

    tell(tmp_path, story)


def test_requests_do_not_wait_for_what_did_not_come_back(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        release = await machine.supervisor.pause()
        assert release
        await release.stop(0)
        await machine.traffic.hold(60)
        machine.launcher.failures.append(StageFailed("start", "no"))
        await machine.supervisor.resume(A)
        assert not machine.traffic.holding
        await until(lambda: machine.supervisor.running)

    tell(tmp_path, story)


def test_run_is_ended_after_its_health_check(tmp_path: Path) -> None:
    """A check of a run that has ended must not say anything of the next one."""
    ended: list[str] = []

    async def story(machine: Machine) -> None:
        async def slow(release: Release) -> None:  # noqa: ARG001
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(0.1)
                ended.append("check")

        machine.supervisor.monitor.until_to_be_started_again = slow  # type: ignore[method-assign]
        assert await machine.supervisor.pause()
        await machine.supervisor.resume(A)
        machine.faults.names.clear()
        await asyncio.sleep(0.1)
        machine.crash()
        await until(lambda: "stop" in machine.faults.names)
        assert ended == ["check"]
        assert machine.faults.names.index("route") < machine.faults.names.index("stop")

    tell(tmp_path, story)
