"""What can happen to a version that is watched after its switch, told on a machine in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from slot_machine.app.outcomes import Outcome
from slot_machine.app.release import releases_of
from slot_machine.core.errors import NothingToCancel
from slot_machine.core.minutes import Tally
from slot_machine.core.model import WEB
from slot_machine.core.verdict import Side, Verdict
from tests.app.hold_stories import abort, b_is_held, promote
from tests.app.stories import Story, a_is_live, b_is_live, deploy, machine, side_runs_are_live
from tests.fakes import Faults, Machine, processes_of, until

GOOD = Side({"/checkout": Tally({20: 2000}, 0)})
BAD = Side({"/checkout": Tally({20: 300}, 90)}, {"/checkout": 60})


def judge(new: Side, old: Side, *, same_minutes: bool) -> Verdict:
    """As simple as can be: the tests of the real one are in tests/core."""
    del old, same_minutes
    if new.in_a_row or new.crashes:
        return Verdict("worse", "90 of 300 requests for /checkout failed", {"failed": 90})
    return Verdict("better") if new.paths else Verdict("not enough requests", "0 of 50")


async def watched(machine: Machine) -> None:
    """Waits until the new version is watched."""
    async with asyncio.timeout(1000):
        await until(lambda: machine.deployer.operations.watches and machine.deployer.watching.judging)


async def begun(machine: Machine, story: Callable[[Machine], Awaitable[object]]) -> "asyncio.Task[object]":
    """Returns what deploys, when the new version is watched, or when that has failed."""
    task = asyncio.ensure_future(story(machine))
    waiting = asyncio.ensure_future(watched(machine))
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return task


async def deploy_b(machine: Machine) -> Outcome:
    return await deploy(machine, "b")


async def deploy_c(machine: Machine) -> Outcome:
    return await deploy(machine, "c")


async def deploy_of_a_worse_one(machine: Machine) -> Outcome:
    machine.evidence.new, machine.evidence.old = BAD, GOOD
    return await deploy(machine, "b")


async def promote_of_a_worse_one(machine: Machine) -> Outcome:
    machine.evidence.new, machine.evidence.old = BAD, GOOD
    return await promote(machine)


async def crash_in_the_watch(machine: Machine) -> object:
    task = await begun(machine, deploy_b)
    machine.crash()
    return await task


async def crash_of_a_worker_in_the_watch(machine: Machine) -> object:
    task = await begun(machine, deploy_b)
    await asyncio.sleep(1)
    release = machine.supervisor.release
    if release and "worker" in release.runs:
        processes_of(release.runs["worker"]).end(1)
    return await task


async def crash_of_the_old_one_and_a_worse_one(machine: Machine) -> object:
    """It is started again."""
    old = machine.supervisor.release
    task = await begun(machine, deploy_b)
    assert old
    processes_of(old.runs[WEB]).end(9)
    await asyncio.sleep(1)
    machine.evidence.new = BAD
    return await task


async def crash_of_both(machine: Machine) -> object:
    old = machine.supervisor.release
    task = await begun(machine, deploy_b)
    assert old
    processes_of(old.runs[WEB]).end(9)
    machine.crash()
    return await task


async def cancel_in_the_watch(machine: Machine) -> object:
    task = await begun(machine, deploy_b)
    if not task.done():
        # Refused if the way back fails.
        with suppress(NothingToCancel):
            await machine.deployer.operations.cancel()
    return await task


async def abort_in_the_watch(machine: Machine) -> object:
    task = await begun(machine, deploy_b)
    await abort(machine)
    return await task


async def promote_in_the_watch(machine: Machine) -> object:
    task = await begun(machine, deploy_b)
    await promote(machine)
    return await task


async def late_promote(machine: Machine) -> object:
    """When a part of the time is over."""
    task = await begun(machine, promote)
    await asyncio.sleep(2)
    await promote(machine)
    return await task


WATCH_STORIES: dict[str, tuple[Story, Story]] = {
    "watch to its end": (a_is_live, deploy_b),
    "watch of a first deploy": (lambda _: asyncio.sleep(0), deploy_b),
    "worse": (a_is_live, deploy_of_a_worse_one),
    "worse after others": (b_is_live, lambda machine: worse(machine, deploy_c)),
    "worse after a promotion": (b_is_held, promote_of_a_worse_one),
    "crash": (a_is_live, crash_in_the_watch),
    "crash of a worker beside side runs": (side_runs_are_live, crash_of_a_worker_in_the_watch),
    "worse beside side runs": (side_runs_are_live, deploy_of_a_worse_one),
    "worse when the old one has ended": (a_is_live, crash_of_the_old_one_and_a_worse_one),
    "crash of both": (a_is_live, crash_of_both),
    "cancel": (a_is_live, cancel_in_the_watch),
    "abort": (a_is_live, abort_in_the_watch),
    "promote": (a_is_live, promote_in_the_watch),
    "promote of a promoted one": (b_is_held, late_promote),
}


async def worse(machine: Machine, story: Callable[[Machine], Awaitable[Outcome]]) -> Outcome:
    machine.evidence.new, machine.evidence.old = BAD, GOOD
    return await story(machine)


@asynccontextmanager
async def killed(
    before: Machine, data: Path, config: Mapping[str, object], faults: Faults | None = None
) -> AsyncIterator[Machine]:
    """The daemon of one machine is killed. The next one has its database and its processes, and has not begun yet."""
    before.faults.kill()
    try:
        async with machine(data, config, faults) as made:
            before.store.copy_to(made.store)
            made.store.interrupt_unfinished()
            made.launcher.started += before.launcher.started
            for run in made.launcher.started:
                processes_of(run).faults = made.faults
            made.launcher.continue_after(before.launcher)
            known = {row.identity for row in made.store.processes()}
            for run in made.running:
                if run.session.identity not in known:
                    # The next daemon finds it by the mark in its environment.
                    processes_of(run).end(-9)
            made.launcher.left = releases_of(made.launcher.adopted())
            made.launcher.left_to_end = made.launcher.adopted(retiring=True)
            made.traffic.routed, made.traffic.beside = before.traffic.routed, before.traffic.beside
            made.trees.heads.update(before.trees.heads)
            yield made
    finally:
        before.faults.dead.set()
