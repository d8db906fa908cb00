"""Commands and states of a candidate, or of a watched version: what each does in each, and what is true afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from slot_machine.app.abort import Aborted
from slot_machine.app.outcomes import Done
from slot_machine.core.errors import Busy, Impossible, NothingHeld, NothingToCancel, SlotMachineError
from slot_machine.core.model import Attempt, short
from tests.app.hold_stories import (
    HOLD,
    abort,
    c_has_a_share,
    c_is_held,
    crash_of_the_candidate,
    larger_share,
    promote,
    share,
)
from tests.app.stories import (
    WITHOUT_PROBES,
    b_is_live,
    check_history,
    check_rest,
    ignored,
    machine,
)
from tests.app.watch_stories import BAD, GOOD
from tests.fakes import COMMITS, Machine, run, until

pytestmark = pytest.mark.usefixtures("quiet", "judged")

Command = Callable[[Machine], Awaitable[object]]


async def answer(asked: Callable[[], Awaitable[object]]) -> object:
    try:
        return await asked()
    except SlotMachineError as refused:
        return refused


async def rollback(made: Machine) -> object:
    return await answer(lambda: made.deployer.rollback("cli", ignored))


COMMANDS: dict[str, Command] = {
    "deploy": lambda made: answer(lambda: made.deployer.deploy("d", "cli", ignored)),
    "deploy --hold": lambda made: answer(lambda: made.deployer.deploy("d", "cli", ignored, HOLD)),
    "promote": promote,
    "promote --share": share,
    "promote --share, larger": larger_share,
    "abort": abort,
    "rollback": rollback,
    "restart": lambda made: answer(lambda: made.deployer.restart("cli", ignored)),
    "cancel": lambda made: answer(made.deployer.operations.cancel),
}


async def nothing_is_held(made: Machine) -> None:
    await b_is_live(made)


async def one_has_failed(made: Machine) -> None:
    await c_is_held(made)
    await crash_of_the_candidate(made)


async def one_is_on_its_way(made: Machine) -> None:
    """A `deploy --hold` runs its setup."""
    await b_is_live(made)
    made.shell.works_s = 60
    begun(made, made.deployer.deploy("c", "cli", ignored, HOLD))
    await setup_runs(made)


async def half_of_the_visitors_get_one(made: Machine) -> None:
    await c_has_a_share(made)
    assert isinstance(await larger_share(made), Done)


async def one_is_to_get_a_share(made: Machine) -> None:
    """And is asked for its health."""
    await c_is_held(made)
    made.launcher.hangs = True
    made.faults.names.clear()
    begun(made, made.deployer.share(1000, "cli", ignored))
    await reached(made, "probe")


async def one_is_being_promoted(made: Machine) -> None:
    """And is asked for its health."""
    await c_is_held(made)
    made.launcher.hangs = True
    made.faults.names.clear()
    begun(made, made.deployer.promote("cli", ignored))
    await reached(made, "probe")


async def one_has_been_promoted(made: Machine) -> None:
    """The version before it drains."""
    await c_is_held(made)
    made.traffic.busy = True
    made.faults.names.clear()
    begun(made, made.deployer.promote("cli", ignored))
    await reached(made, "drained")


async def one_is_watched(made: Machine) -> None:
    """After a deploy."""
    await b_is_live(made)
    begun(made, made.deployer.deploy("c", "cli", ignored))
    await is_watched(made)


async def one_is_watched_after_a_promotion(made: Machine) -> None:
    await c_is_held(made)
    begun(made, made.deployer.promote("cli", ignored))
    await is_watched(made)


async def one_is_being_taken_back(made: Machine) -> None:
    """It drains; the one before is live again."""
    await one_is_watched(made)
    made.traffic.busy = True
    made.faults.names.clear()
    made.evidence.new = BAD
    await reached(made, "drained")
    made.evidence.new = GOOD


async def one_was_taken_back(made: Machine) -> None:
    """It runs on for a look."""
    await one_is_watched(made)
    made.evidence.new = BAD
    await asyncio.gather(*TASKS)
    made.evidence.new = GOOD


async def is_watched(made: Machine) -> None:
    async with asyncio.timeout(10):
        await until(lambda: made.deployer.watching.judging)


async def reached(made: Machine, step: str) -> None:
    async with asyncio.timeout(10):
        await until(lambda: step in made.faults.names)


async def setup_runs(made: Machine) -> None:
    async with asyncio.timeout(10):
        await until(lambda: made.shell.running == ["setup"])


TASKS: list["asyncio.Task[object]"] = []


def begun(_: Machine, task: "asyncio.Task[object]") -> None:
    """Whoever waits for it is still there."""
    TASKS.append(asyncio.ensure_future(asyncio.shield(task)))


STATES: dict[str, Callable[[Machine], Awaitable[None]]] = {
    "": nothing_is_held,
    "on its way": one_is_on_its_way,
    "held": c_is_held,
    "failed": one_has_failed,
    "sharing": c_has_a_share,
    "sharing a half": half_of_the_visitors_get_one,
    "asked before its share": one_is_to_get_a_share,
    "being promoted": one_is_being_promoted,
    "promoted, drains": one_has_been_promoted,
    "watched": one_is_watched,
    "promoted, watched": one_is_watched_after_a_promotion,
    "taken back, drains": one_is_being_taken_back,
    "taken back, kept": one_was_taken_back,
}

WATCH: dict[str, dict[str, object]] = {
    "watched": {"watch_ms": 4_000},
    "promoted, watched": {"watch_ms": 4_000},
    "taken back, drains": {"watch_ms": 4_000},
    "taken back, kept": {"watch_ms": 4_000, "watch_action": "hold"},
}
"""What the configuration has in these states."""

TABLE: dict[str, dict[str, tuple[type[object], str, str]]] = {
    "": {
        "deploy": (Done, "d", ""),
        "deploy --hold": (Done, "b", "d held"),
        "promote": (NothingHeld, "b", ""),
        "promote --share": (NothingHeld, "b", ""),
        "promote --share, larger": (NothingHeld, "b", ""),
        "abort": (NothingHeld, "b", ""),
        "rollback": (Done, "a", ""),
        "restart": (Done, "b", ""),
        "cancel": (NothingToCancel, "b", ""),
    },
    "on its way": {
        "deploy": (Busy, "b", "c held"),
        "deploy --hold": (Busy, "b", "c held"),
        "promote": (Busy, "b", "c held"),
        "promote --share": (Busy, "b", "c held"),
        "promote --share, larger": (Busy, "b", "c held"),
        "abort": (Aborted, "b", ""),
        "rollback": (Busy, "b", "c held"),
        "restart": (Busy, "b", "c held"),
        "cancel": (Attempt, "b", ""),
    },
    "held": {
        "deploy": (Done, "d", ""),
        "deploy --hold": (Done, "b", "d held"),
        "promote": (Done, "c", ""),
        "promote --share": (Done, "b", "c sharing 10%"),
        "promote --share, larger": (Done, "b", "c sharing 50%"),
        "abort": (Aborted, "b", ""),
        "rollback": (Done, "a", ""),
        "restart": (Done, "b", ""),
        "cancel": (NothingToCancel, "b", "c held"),
    },
    "failed": {
        "deploy": (Done, "d", ""),
        "deploy --hold": (Done, "b", "d held"),
        "promote": (Impossible, "b", "c failed"),
        "promote --share": (Impossible, "b", "c failed"),
        "promote --share, larger": (Impossible, "b", "c failed"),
        "abort": (Aborted, "b", ""),
        "rollback": (Done, "a", ""),
        "restart": (Done, "b", ""),
        "cancel": (NothingToCancel, "b", "c failed"),
    },
    "sharing": {
        "deploy": (Done, "d", ""),
        "deploy --hold": (Done, "b", "d held"),
        "promote": (Done, "c", ""),
        "promote --share": (Done, "b", "c sharing 10%"),
        "promote --share, larger": (Done, "b", "c sharing 50%"),
        "abort": (Aborted, "b", ""),
        "rollback": (Done, "a", ""),
        "restart": (Done, "b", ""),
        "cancel": (NothingToCancel, "b", "c sharing 10%"),
    },
    "sharing a half": {
        "deploy": (Done, "d", ""),
        "deploy --hold": (Done, "b", "d held"),
        "promote": (Done, "c", ""),
        "promote --share": (Impossible, "b", "c sharing 50%"),
        "promote --share, larger": (Done, "b", "c sharing 50%"),
        "abort": (Aborted, "b", ""),
        "rollback": (Done, "a", ""),
        "restart": (Done, "b", ""),
        "cancel": (NothingToCancel, "b", "c sharing 50%"),
    },
    "asked before its share": {
        "deploy": (Busy, "b", "c sharing 10%"),
        "deploy --hold": (Busy, "b", "c sharing 10%"),
        "promote": (Busy, "b", "c sharing 10%"),
        "promote --share": (Busy, "b", "c sharing 10%"),
        "promote --share, larger": (Busy, "b", "c sharing 10%"),
        "abort": (Aborted, "b", ""),
        "rollback": (Busy, "b", "c sharing 10%"),
        "restart": (Busy, "b", "c sharing 10%"),
        "cancel": (Attempt, "b", "c held"),
    },
    "being promoted": {
        "deploy": (Busy, "c", ""),
        "deploy --hold": (Busy, "c", ""),
        "promote": (Busy, "c", ""),
        "promote --share": (Busy, "c", ""),
        "promote --share, larger": (Busy, "c", ""),
        "abort": (Aborted, "b", ""),
        "rollback": (Busy, "c", ""),
        "restart": (Busy, "c", ""),
        "cancel": (Attempt, "b", "c held"),
    },
    "promoted, drains": {
        "deploy": (Busy, "c", ""),
        "deploy --hold": (Busy, "c", ""),
        "promote": (Busy, "c", ""),
        "promote --share": (Busy, "c", ""),
        "promote --share, larger": (Busy, "c", ""),
        "abort": (NothingHeld, "c", ""),
        "rollback": (Busy, "c", ""),
        "restart": (Busy, "c", ""),
        "cancel": (NothingToCancel, "c", ""),
    },
    "watched": {
        "deploy": (Busy, "c", ""),
        "deploy --hold": (Busy, "c", ""),
        "promote": (Done, "c", ""),
        "promote --share": (Busy, "c", ""),
        "promote --share, larger": (Busy, "c", ""),
        "abort": (Aborted, "b", ""),
        "rollback": (Busy, "c", ""),
        "restart": (Busy, "c", ""),
        "cancel": (Attempt, "b", ""),
    },
    "promoted, watched": {
        "deploy": (Busy, "c", ""),
        "deploy --hold": (Busy, "c", ""),
        "promote": (Done, "c", ""),
        "promote --share": (Busy, "c", ""),
        "promote --share, larger": (Busy, "c", ""),
        "abort": (Aborted, "b", ""),
        "rollback": (Busy, "c", ""),
        "restart": (Busy, "c", ""),
        "cancel": (Attempt, "b", ""),
    },
    "taken back, drains": {
        "deploy": (Busy, "b", ""),
        "deploy --hold": (Busy, "b", ""),
        "promote": (Busy, "b", ""),
        "promote --share": (Busy, "b", ""),
        "promote --share, larger": (Busy, "b", ""),
        "abort": (Aborted, "b", ""),
        "rollback": (Busy, "b", ""),
        "restart": (Busy, "b", ""),
        "cancel": (NothingToCancel, "b", ""),
    },
    "taken back, kept": {
        "deploy": (Done, "d", ""),
        "deploy --hold": (Done, "b", "d held"),
        "promote": (Impossible, "b", "c failed"),
        "promote --share": (Impossible, "b", "c failed"),
        "promote --share, larger": (Impossible, "b", "c failed"),
        "abort": (Aborted, "b", ""),
        "rollback": (Done, "a", ""),
        "restart": (Done, "b", ""),
        "cancel": (NothingToCancel, "b", "c failed"),
    },
}
"""By state and command: the outcome, what is live in the end, and what is held then, when all that ran has ended."""


def test_every_cell_is_defined() -> None:
    assert TABLE.keys() == STATES.keys()
    assert all(row.keys() == COMMANDS.keys() for row in TABLE.values())


@pytest.mark.parametrize(("state", "command"), [(state, command) for state in STATES for command in COMMANDS])
def test_cell(tmp_path: Path, state: str, command: str) -> None:
    expected, live, held = TABLE[state][command]

    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"setup_command": "setup"} | WATCH.get(state, {})) as made:
            await STATES[state](made)
            outcome = await COMMANDS[command](made)
            made.launcher.hangs = made.traffic.busy = False
            # What hung in the fakes goes on after this.
            await asyncio.sleep(10_001)
            await asyncio.gather(*TASKS, return_exceptions=True)
            TASKS.clear()
            assert isinstance(outcome, expected), outcome
            if isinstance(outcome, Busy) and "`slot-machine cancel`" in outcome.hint:
                assert TABLE[state]["cancel"][0] is Attempt, "it would be refused"
            check_rest(made, f"{outcome}")
            check_history(made, f"{outcome}")
            now = made.store.state().live
            assert now
            assert now.commit == COMMITS[live]
            candidate = made.deployer.candidates.record
            found = f"{short(candidate.version.commit)[0]} {candidate.state}" if candidate else ""
            found += f" {candidate.percent:g}%" if candidate and candidate.share else ""
            assert found == held

    run(story())
