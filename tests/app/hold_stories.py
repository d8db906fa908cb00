"""What can happen to a candidate that is held, told on a machine in memory."""

import asyncio

from slot_machine.app.abort import Aborted
from slot_machine.app.outcomes import Done, Outcome, Wishes
from slot_machine.app.release import releases_of
from slot_machine.core.errors import SlotMachineError
from slot_machine.core.origin import Origin
from tests.app.stories import Story, a_is_live, b_is_live, deploy, ignored, restart, rollback, side_runs_are_live
from tests.fakes import Machine, processes_of

HOLD = Wishes(hold=True)


async def hold(machine: Machine, commitish: str = "b", wishes: Wishes = HOLD) -> Outcome:
    return await machine.deployer.deploy(commitish, "cli", ignored, wishes)


async def promote(machine: Machine) -> Outcome:
    try:
        return await machine.deployer.promote("cli", ignored)
    except SlotMachineError as refused:
        return refused


async def share(machine: Machine, part: int = 1000) -> Outcome:
    try:
        return await machine.deployer.share(part, "cli", ignored)
    except SlotMachineError as refused:
        return refused


async def larger_share(machine: Machine) -> Outcome:
    return await share(machine, 5000)


async def abort(machine: Machine) -> Aborted | SlotMachineError:
    try:
        return await machine.deployer.abort(Origin("ada", "it is blue"))
    except SlotMachineError as refused:
        return refused


async def b_is_held(machine: Machine) -> None:
    """While `a` is live."""
    await a_is_live(machine)
    done = await hold(machine)
    assert isinstance(done, Done)
    assert done.held


async def b_is_held_beside_side_runs(machine: Machine) -> None:
    await side_runs_are_live(machine)
    assert isinstance(await hold(machine), Done)


async def b_has_a_share(machine: Machine) -> None:
    """While `a` is live."""
    await b_is_held(machine)
    assert isinstance(await share(machine), Done)


async def c_has_a_share(machine: Machine) -> None:
    """While `b` is live, after `a`."""
    await c_is_held(machine)
    assert isinstance(await share(machine), Done)


async def b_has_failed(machine: Machine) -> None:
    await b_is_held(machine)
    await crash_of_the_candidate(machine)


async def c_is_held(machine: Machine) -> None:
    """While `b` is live, after `a`."""
    await b_is_live(machine)
    assert isinstance(await hold(machine, "c"), Done)


async def nothing_but_b_is_held(machine: Machine) -> None:
    assert isinstance(await hold(machine), Done)


async def crash_of_the_candidate(machine: Machine) -> None:
    assert machine.deployer.candidates.release
    processes_of(machine.deployer.candidates.release.web).end(7)
    await asyncio.sleep(1)


async def crash_of_the_live_version(machine: Machine) -> None:
    machine.crash()
    await asyncio.sleep(10)


async def deploy_of_another(machine: Machine) -> Outcome:
    return await deploy(machine, "c")


async def take_over(machine: Machine) -> None:
    """The daemon was killed and has started again, all in one process: what it knew of its processes is gone."""
    candidates = machine.deployer.candidates
    candidates.let_go()
    candidates.release = None
    await machine.supervisor.pause()
    machine.launcher.left = releases_of(machine.launcher.adopted())
    await machine.deployer.recover()


async def take_over_of_one_that_has_ended(machine: Machine) -> None:
    candidates = machine.deployer.candidates
    candidates.let_go()
    assert candidates.release
    processes_of(candidates.release.web).end(7)
    await take_over(machine)


HOLD_STORIES: dict[str, tuple[Story, Story]] = {
    "hold": (a_is_live, hold),
    "first hold": (lambda _: asyncio.sleep(0), hold),
    "promote": (b_is_held, promote),
    "first promote": (nothing_but_b_is_held, promote),
    "promote beside side runs": (b_is_held_beside_side_runs, promote),
    "abort": (b_is_held, abort),
    "abort of a failed one": (b_has_failed, abort),
    "crash of the candidate": (b_is_held, crash_of_the_candidate),
    "crash of the live version": (b_is_held, crash_of_the_live_version),
    "deploy of another": (b_is_held, deploy_of_another),
    "hold of the same": (b_is_held, hold),
    "rollback": (c_is_held, rollback),
    "restart": (b_is_held, restart),
    "take-over": (b_is_held, take_over),
    "take-over of one that has ended": (b_is_held, take_over_of_one_that_has_ended),
    "share": (b_is_held, share),
    "larger share": (b_has_a_share, larger_share),
    "promote after a share": (b_has_a_share, promote),
    "abort of a share": (b_has_a_share, abort),
    "crash in a share": (b_has_a_share, crash_of_the_candidate),
    "take-over in a share": (b_has_a_share, take_over),
    "take-over of one that has ended in a share": (b_has_a_share, take_over_of_one_that_has_ended),
}
