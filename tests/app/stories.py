"""What can happen to an app, told on a machine in memory, and what must hold after each such story."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from slot_machine.app.outcomes import Done, Outcome
from slot_machine.app.release import Release, releases_of
from slot_machine.core.errors import PortTaken, StageFailed
from slot_machine.core.model import WEB, Version
from slot_machine.core.side_runs import side_runs
from slot_machine.host.network.probe import Answer
from tests.fakes import COMMITS, Faults, Machine, processes_of, run, upstream

T = TypeVar("T")
Story = Callable[[Machine], Awaitable[object]]

LONG_S = 40.0
"""Time enough for every delay of a few restarts."""

WITHOUT_PROBES: dict[str, object] = {"health_interval_ms": 0}

WITH_PROBES: dict[str, object] = {"health_interval_ms": 2000, "restart_when_unhealthy": True}

ALL_COMMANDS: dict[str, object] = {
    "setup_command": "setup",
    "build_command": "build",
    "release_command": "release",
}

SIDE_RUNS: dict[str, object] = {
    "worker": "work",
    "clock": {"command": "tick", "singleton": True, "quiet_signal": "TSTP"},
}

NO_TRAFFIC = OSError(111, "Connection refused")

B = Version("b", COMMITS["b"])
STRATEGIES = pytest.mark.parametrize("strategy", ["overlap", "replace"])


@asynccontextmanager
async def machine(
    data: Path, config: Mapping[str, object] = WITHOUT_PROBES, faults: Faults | None = None
) -> AsyncIterator[Machine]:
    """At its end, nothing is left of it, and none of its tasks has failed."""
    async with asyncio.TaskGroup() as tasks:
        made = Machine.make(data, tasks, faults or Faults(), config)
        yield made
        await made.deployer.stop()
        assert not made.running
    made.close()


async def come_to(at: int, made: Machine, tell: Callable[[Machine], Awaitable[T]]) -> "asyncio.Future[T]":
    """Begins the story. Returns when its step `at` begins; the story goes on."""
    made.faults.names.clear()
    came = asyncio.Event()
    made.faults.at, made.faults.strike = at, came.set
    telling = asyncio.ensure_future(tell(made))
    await came.wait()
    return telling


async def stop_in(at: int, made: Machine, tell: Story) -> None:
    """Begins the story. In its step `at`, the daemon stops."""
    telling = await come_to(at, made, tell)
    await made.deployer.stop()
    telling.cancel()
    await asyncio.wait([telling])


def ignored(_: object) -> None:
    pass


async def deploy(machine: Machine, commitish: str) -> Outcome:
    return await machine.deployer.deploy(commitish, "cli", ignored)


async def rollback(machine: Machine) -> Outcome:
    return await machine.deployer.rollback("cli", ignored)


async def restart(machine: Machine) -> Outcome:
    return await machine.deployer.restart("cli", ignored)


async def restart_that_fails(machine: Machine) -> Outcome:
    machine.launcher.failures.append(StageFailed("health", "it answered 500"))
    return await restart(machine)


async def restart_beside_side_runs(machine: Machine) -> Outcome:
    return await restart(machine)


async def take_over_of_a_restart(machine: Machine) -> None:
    """A daemon was killed in the midst of a restart, when both releases of the live version were healthy."""
    live = machine.store.state().live
    assert live
    for web in (machine.launcher.process(live), machine.launcher.process(live)):
        web.upstream = upstream(web)
        machine.launcher.left.append(Release(live, web))
    await machine.deployer.recover()


async def first_deploy(machine: Machine) -> Outcome:
    return await deploy(machine, "a")


async def second_deploy(machine: Machine) -> Outcome:
    return await deploy(machine, "b")


async def crash_and_restart(machine: Machine) -> None:
    machine.crash()
    await asyncio.sleep(LONG_S)


async def crash_within_a_deploy(machine: Machine) -> None:
    machine.crash()
    await asyncio.sleep(1)
    await deploy(machine, "b")


async def restart_of_a_hung_app(machine: Machine) -> None:
    machine.launcher.answers += [Answer(503, "503")] * 3
    await asyncio.sleep(20)


async def recovery(machine: Machine) -> None:
    await machine.deployer.recover()


async def take_over(machine: Machine) -> None:
    """A daemon was killed in the midst of a deploy: the live version goes on, the other one is ended."""
    live = machine.store.state().live
    assert live
    for version in (B, live):
        web = machine.launcher.process(version)
        web.upstream = upstream(web)
        machine.launcher.left.append(Release(version, web))
    await machine.deployer.recover()


async def take_over_of_a_candidate(machine: Machine) -> None:
    """A daemon was killed before the next version was healthy, and the live one has ended since."""
    machine.launcher.left.append(Release(B, machine.launcher.process(B)))
    await machine.deployer.recover()


async def recovery_in_an_empty_tree(machine: Machine) -> None:
    machine.trees.heads.clear()
    await machine.deployer.recover()


async def recovery_that_fails(machine: Machine) -> None:
    machine.launcher.failures.append(StageFailed("health", "it answered 500"))
    await machine.deployer.recover()


async def recovery_without_traffic(machine: Machine) -> None:
    machine.traffic.failures.append(NO_TRAFFIC)
    await machine.deployer.recover()


async def crash_without_traffic(machine: Machine) -> None:
    machine.traffic.failures.append(NO_TRAFFIC)
    await crash_and_restart(machine)


async def deploy_without_traffic(machine: Machine) -> Outcome:
    machine.traffic.failures.append(NO_TRAFFIC)
    return await deploy(machine, "b")


async def deploy_of_a_busy_app(machine: Machine) -> Outcome:
    machine.traffic.busy = True
    outcome = await deploy(machine, "b")
    machine.traffic.busy = False
    return outcome


async def deploy_without_a_spare_tree(machine: Machine) -> Outcome:
    return await deploy(machine, "c")


async def failed_deploy(machine: Machine) -> Outcome:
    machine.launcher.failures.append(StageFailed("health", "it answered 500"))
    return await deploy(machine, "b")


async def deploy_whose_port_is_taken(machine: Machine) -> Outcome:
    machine.launcher.failures.append(PortTaken("health", "port 7 is not the app's"))
    return await deploy(machine, "b")


async def deploy_with_all_commands(machine: Machine) -> Outcome:
    return await deploy(machine, "b")


async def rehearsed_deploy(machine: Machine) -> Outcome:
    machine.launcher.pages = {("b", "/missing"): Answer(404, "404")}
    return await deploy(machine, "b")


async def rollback_with_all_commands(machine: Machine) -> Outcome:
    return await rollback(machine)


async def nothing(_: Machine) -> None:
    pass


async def a_is_live(machine: Machine) -> None:
    assert isinstance(await deploy(machine, "a"), Done)


async def b_is_live(machine: Machine) -> None:
    await a_is_live(machine)
    assert isinstance(await deploy(machine, "b"), Done)


async def c_is_live(machine: Machine) -> None:
    """After `a` and `b`."""
    await b_is_live(machine)
    assert isinstance(await deploy(machine, "c"), Done)


async def a_was_live(machine: Machine) -> None:
    """The state of a daemon that has ended."""
    await a_is_live(machine)
    await machine.supervisor.pause()
    for left in machine.running:
        processes_of(left).end(-9)
    machine.supervisor.release = None


async def side_runs_are_live(machine: Machine) -> None:
    """And are being watched."""
    await a_is_live(machine)
    await asyncio.sleep(0.01)


async def deploy_beside_side_runs(machine: Machine) -> Outcome:
    return await deploy(machine, "b")


async def failed_deploy_beside_side_runs(machine: Machine) -> Outcome:
    return await failed_deploy(machine)


async def crash_beside_side_runs(machine: Machine) -> None:
    await crash_and_restart(machine)


async def crash_of_a_side_run(machine: Machine) -> None:
    assert machine.supervisor.release
    processes_of(machine.supervisor.release.runs["worker"]).end(1)
    await asyncio.sleep(LONG_S)


async def take_over_of_side_runs(machine: Machine) -> None:
    """A daemon was killed while side runs of the version before retired."""
    assert machine.supervisor.release
    machine.supervisor.release.take_side_runs()
    await machine.supervisor.pause()
    machine.supervisor.watches = {WEB: machine.supervisor.web}
    machine.launcher.left = releases_of(machine.launcher.adopted())
    machine.launcher.left_to_end = machine.launcher.adopted(retiring=True)
    await machine.deployer.recover()


async def side_runs_were_live(machine: Machine) -> None:
    """Those of version `a` retire."""
    await side_runs_are_live(machine)
    assert isinstance(await deploy(machine, "b"), Done)


STORIES: dict[str, tuple[Story, Story]] = {
    "first deploy": (nothing, first_deploy),
    "second deploy": (a_is_live, second_deploy),
    "deploy with all commands": (a_is_live, deploy_with_all_commands),
    "rehearsed deploy": (a_is_live, rehearsed_deploy),
    "rollback with all commands": (b_is_live, rollback_with_all_commands),
    "deploy whose port is taken": (a_is_live, deploy_whose_port_is_taken),
    "deploy that fails": (a_is_live, failed_deploy),
    "rollback": (b_is_live, rollback),
    "crash": (a_is_live, crash_and_restart),
    "crash within a deploy": (a_is_live, crash_within_a_deploy),
    "hung app": (a_is_live, restart_of_a_hung_app),
    "recovery": (a_was_live, recovery),
    "take-over": (a_was_live, take_over),
    "deploy beside side runs": (side_runs_are_live, deploy_beside_side_runs),
    "failed deploy beside side runs": (side_runs_are_live, failed_deploy_beside_side_runs),
    "crash beside side runs": (side_runs_are_live, crash_beside_side_runs),
    "crash of a side run": (side_runs_are_live, crash_of_a_side_run),
    "take-over of side runs": (side_runs_were_live, take_over_of_side_runs),
    "restart": (b_is_live, restart),
    "restart that fails": (b_is_live, restart_that_fails),
    "restart beside side runs": (side_runs_are_live, restart_beside_side_runs),
    "take-over of a restart": (a_was_live, take_over_of_a_restart),
    "first start": (nothing, recovery),
    "take-over of a candidate": (a_was_live, take_over_of_a_candidate),
    "recovery in an empty tree": (a_was_live, recovery_in_an_empty_tree),
    "recovery that fails": (a_was_live, recovery_that_fails),
    "recovery without traffic": (a_was_live, recovery_without_traffic),
    "crash without traffic": (a_is_live, crash_without_traffic),
    "deploy without traffic": (a_is_live, deploy_without_traffic),
    "deploy of a busy app": (a_is_live, deploy_of_a_busy_app),
    "deploy without a spare tree": (b_is_live, deploy_without_a_spare_tree),
}


def config_of(tell: Story, strategy: str) -> dict[str, object]:
    probes = WITH_PROBES if tell is restart_of_a_hung_app else WITHOUT_PROBES
    commands = ALL_COMMANDS if tell in (deploy_with_all_commands, rollback_with_all_commands) else {}
    commands = {"rehearse": ["/", "/missing"]} if tell is rehearsed_deploy else commands
    config = probes | commands | {"strategy": strategy, "spare_tree": tell is not deploy_without_a_spare_tree}
    return config | ({"processes": SIDE_RUNS} if "side_run" in tell.__name__ else {})


def steps(data: Path, story: str, strategy: str) -> list[str]:
    before, tell = STORIES[story]

    async def names() -> list[str]:
        async with machine(data, config_of(tell, strategy)) as made:
            await before(made)
            made.faults.names.clear()
            await tell(made)
            return list(made.faults.names)

    return run(names())


def check_rest(machine: Machine, where: str) -> None:
    """What the state says is what runs, alone, and what gets the requests."""
    live, release = machine.store.state().live, machine.supervisor.release
    held = check_candidate(machine, where)
    assert not machine.shell.running, where
    assert {row.role for row in machine.store.processes()} <= {"app"}, where
    if live is None:
        assert {run.run_id for run in machine.running} == held, where
        assert machine.traffic.routed is None, where
        return
    assert machine.supervisor.healthy, where
    assert release, where
    assert release.version == live, where
    assert {run.run_id for run in machine.running} == {run.run_id for run in release.runs.values()} | held, where
    assert release.runs.keys() == {WEB, *(side.run for side in side_runs(live.config))}, where
    assert machine.traffic.routed == release.upstream, where
    assert not machine.traffic.holding, where
    assert machine.supervisor.watching, where


def check_candidate(machine: Machine, where: str) -> set[int]:
    """What is held runs, is not live, and its deploy is `held`. Returns the ids of its runs."""
    candidate, release = machine.deployer.candidates.record, machine.deployer.candidates.release
    held = [attempt.id for attempt in machine.store.attempts(100) if attempt.result == "held"]
    beside = machine.traffic.beside
    assert not candidate or candidate.state != "watched", where
    if not candidate or (candidate.state == "failed" and not candidate.runs_on):
        assert release is None, where
        assert not beside or not beside.share, where
        return set()
    assert (beside.share if beside else 0) == candidate.share, where
    assert release, where
    assert release.version == candidate.version != machine.store.state().live, where
    assert release.running, where
    assert machine.traffic.routed != release.upstream, where
    assert candidate.attempt in held or candidate.runs_on, where
    return {run.run_id for run in release.runs.values()}


def check_history(machine: Machine, where: str) -> None:
    assert machine.deployer.operations.running is None, where
    last = machine.deployer.attempts.last
    assert last is None or last.result != "running", where
