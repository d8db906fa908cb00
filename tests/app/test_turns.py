"""Deploys that wait for their turn, on a machine in memory."""

import asyncio
import gc
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done, Outcome
from slot_machine.core.errors import Overtaken, Reloading, Stopping
from tests.app.stories import WITHOUT_PROBES, a_is_live, b_is_live, check_rest, ignored, machine, restart
from tests.fakes import Machine, run

SETUP = WITHOUT_PROBES | {"setup_command": "setup", "setup_timeout_ms": 86_400_000}


class Client:
    """Waits for its turn to deploy a commit, until it leaves."""

    def __init__(self, machine: Machine, commit: str) -> None:
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcome = asyncio.create_task(self._deploy(machine, commit))

    async def _deploy(self, machine: Machine, commit: str) -> Outcome:
        await machine.deployer.operations.turn(self.left)
        return await machine.deployer.deploy(commit, "cli", ignored)

    def leave(self) -> None:
        self.left.set_result(None)


async def busy(machine: Machine) -> "asyncio.Task[Outcome]":
    """A deploy of `b` whose setup takes hours."""
    await a_is_live(machine)
    machine.shell.hangs = True
    deploying = machine.deployer.deploy("b", "cli", ignored)
    await asyncio.sleep(1)
    assert machine.shell.running
    machine.shell.hangs = False
    return deploying


def test_who_waits_comes_next(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, SETUP) as made:
            deploying = await busy(made)
            client = Client(made, "c")
            await asyncio.sleep(1)
            assert not client.outcome.done()
            assert isinstance(await deploying, Done)
            assert isinstance(await client.outcome, Done)
            assert [one.commit[0] for one in made.store.attempts(9)] == ["c", "b", "a"]
            check_rest(made, "")

    run(story())


def test_nobody_waits_if_nothing_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            assert isinstance(await Client(made, "c").outcome, Done)

    run(story())


def test_latest_one_wins_and_the_others_are_told_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, SETUP) as made:
            deploying = await busy(made)
            clients = []
            for commit in "cde":
                clients.append(Client(made, commit))
                await asyncio.sleep(0.1)
            for client in clients[:2]:
                with pytest.raises(Overtaken, match="a newer deploy waits"):
                    await client.outcome
            assert not deploying.done()
            assert isinstance(await clients[2].outcome, Done)
            assert [one.commit[0] for one in made.store.attempts(9)] == ["e", "b", "a"]

    run(story())


def test_place_goes_with_its_client(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, SETUP) as made:
            deploying = await busy(made)
            client = Client(made, "c")
            await asyncio.sleep(0.1)
            client.leave()
            with pytest.raises(ConnectionError):
                await client.outcome
            assert isinstance(await deploying, Done)
            await asyncio.sleep(10)
            assert [one.commit[0] for one in made.store.attempts(9)] == ["b", "a"]
            made.deployer.operations.check_free()

    run(story())
    gc.collect()  # A result that nobody fetched fails the test only when it is collected.


def test_deploy_that_comes_between_is_waited_for_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, SETUP) as made:
            deploying = await busy(made)
            between: list[asyncio.Task[Outcome]] = []
            deploying.add_done_callback(lambda _: between.append(made.deployer.restart("cli", ignored)))
            client = Client(made, "c")
            await deploying
            assert isinstance(await client.outcome, Done)
            assert isinstance(await between[0], Done)
            assert [one.kind for one in made.store.attempts(2)] == ["deploy", "restart"]

    run(story())


@pytest.mark.parametrize(("refusal", "words"), [(Stopping, "is stopping"), (Reloading, "reloads")])
def test_end_of_the_daemon_is_told_at_once(tmp_path: Path, refusal: type[Stopping], words: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, SETUP) as made:
            deploying = await busy(made)
            client = Client(made, "c")
            await asyncio.sleep(0.1)
            made.deployer.operations.refuse_more(refusal)
            with pytest.raises(Stopping, match=f"{words}.*; this deploy waited for its turn, and was not begun"):
                await client.outcome
            assert not deploying.done()
            with pytest.raises(Stopping, match="was not begun"):
                await Client(made, "d").outcome

    run(story())


def test_other_operations_are_waited_for_as_well(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_live(made)
            restarting = asyncio.create_task(restart(made))
            await asyncio.sleep(0)
            client = Client(made, "c")
            assert isinstance(await client.outcome, Done)
            assert isinstance(await restarting, Done)

    run(story())
