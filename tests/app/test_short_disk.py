"""Deploys on a disk without room for a third tree, on a machine in memory: what makes room for them, and what fails."""

import asyncio
import errno
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from slot_machine.app import slots
from slot_machine.app.outcomes import Done
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import TREES
from slot_machine.host.files import capacity, reclaim
from slot_machine.host.files.app_files import AppFiles
from slot_machine.host.files.capacity import Size
from slot_machine.host.git.trees import LIVE_FILE
from tests.app.hold_stories import b_is_held, promote
from tests.app.stories import LONG_S, b_is_live, check_history, check_rest, come_to, deploy, machine
from tests.fakes import Faults, Machine, raising, run, until

MB = 1_000_000
PREVIOUS, LIVE, SPARE = TREES
ROOMY = 1000
NO_ROOM = OSError(errno.ENOSPC, "No space left on device")
FULL = sqlite3.OperationalError("database or disk is full")

T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("quiet")


class Disk:
    """Of `size` MB, on which the trees of the machine lie."""

    def __init__(self) -> None:
        self.size = ROOMY
        self.machine: Machine | None = None

    @property
    def faults(self) -> Faults:
        return self.machine.faults if self.machine else Faults()

    def free(self, _: Path) -> Size:
        sizes = self.machine.trees.sizes.values() if self.machine else ()
        return Size(self.size * MB - sum(size.bytes for size in sizes), 1_000_000)

    def reclaim(self, path: Path, _: int) -> None:
        self.faults.now("reclaim")
        self._empty(path)

    async def remove(self, path: Path, _: str) -> None:
        await self.faults.step("remove")
        self._empty(path)
        assert self.machine
        self.machine.trees.heads.pop(SPARE, None)
        path.rmdir()

    async def everything(self) -> list[str]:
        await self.faults.step("everything")
        return []

    def _empty(self, path: Path) -> None:
        assert self.machine
        self.machine.trees.sizes[int(path.name.removeprefix("tree-"))] = Size(0, 0)


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    async def at_once(work: Callable[[], T]) -> T:
        return work()

    disk = Disk()
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    monkeypatch.setattr(capacity, "free", disk.free)
    monkeypatch.setattr(reclaim, "reclaim", disk.reclaim)
    monkeypatch.setattr(slots, "remove_tree", disk.remove)
    monkeypatch.setattr(AppFiles, "everything", lambda _: disk.everything())
    return disk


@asynccontextmanager
async def machine_on(disk: Disk, data: Path) -> AsyncIterator[Machine]:
    """Version B is live, A can be rolled back to; both take 100 MB. So does the spare tree."""
    async with machine(data) as made:
        disk.machine, disk.size = made, ROOMY
        await b_is_live(made)
        for tree in TREES:
            made.trees.path(tree).mkdir(exist_ok=True)
            made.trees.sizes[tree] = Size(100 * MB, 10)
            made.store.save_size(tree, Size(100 * MB, 10))
        yield made
        disk.size = ROOMY


def room_after_a_look(disk: Disk, machine: Machine) -> None:
    """Somebody has removed files from the live tree."""
    machine.trees.sizes[LIVE] = Size(40 * MB, 10)
    machine.store.save_size(SPARE, None)
    disk.size = 270


def room_when_taken_back(disk: Disk, machine: Machine) -> None:
    machine.store.begin_tree(SPARE, 77)
    machine.trees.sizes[SPARE] = Size(150 * MB, 10)
    disk.size = 360


def room_in_the_previous_tree(disk: Disk, machine: Machine) -> None:
    """What is in the spare tree was there before any deploy of which the daemon knows."""
    machine.trees.sizes[SPARE] = Size(60 * MB, 10)
    machine.store.save_size(SPARE, Size(60 * MB, 10))
    disk.size = 290


def room_without_a_spare_tree(disk: Disk, machine: Machine) -> None:
    room_in_the_previous_tree(disk, machine)
    disk.size = 270


Shortage = Callable[[Disk, Machine], None]
SHORTAGES: dict[str, tuple[Shortage, int, str]] = {
    "taken files away": (room_after_a_look, SPARE, "measure"),
    "taken back": (room_when_taken_back, SPARE, "reclaim"),
    "previous tree": (room_in_the_previous_tree, PREVIOUS, "measure"),
    "no spare tree": (room_without_a_spare_tree, PREVIOUS, "remove"),
}
EACH_SHORTAGE = pytest.mark.parametrize("shortage", SHORTAGES)


def steps(disk: Disk, data: Path, shortage: str) -> list[str]:
    """Of a deploy, and what came of it is checked."""
    shorten, tree, step = SHORTAGES[shortage]

    async def names() -> list[str]:
        async with machine_on(disk, data) as made:
            shorten(disk, made)
            made.faults.names.clear()
            outcome = await deploy(made, "c")
            assert isinstance(outcome, Done)
            assert outcome.version.tree == tree
            assert step in made.faults.names
            assert ("is overwritten" in "".join(outcome.warnings)) == (tree == PREVIOUS)
            check_rest(made, shortage)
            return list(made.faults.names)

    return run(names())


def check_trees(machine: Machine, where: str) -> None:
    """None is said to hold what is not in it."""
    for tree in TREES:
        contents = machine.store.contents(tree)
        assert contents is None or contents.commit == machine.trees.heads.get(tree), where


@EACH_SHORTAGE
def test_whatever_fails_while_room_is_made_the_live_version_serves(tmp_path: Path, disk: Disk, shortage: str) -> None:
    async def failed_in(at: int, step: str) -> None:
        async with machine_on(disk, tmp_path) as made:
            SHORTAGES[shortage][0](disk, made)
            made.faults.names.clear()
            made.faults.at, made.faults.strike = at, raising(FULL if step.startswith(("begin", "save")) else NO_ROOM)
            outcome = await deploy(made, "c")
            made.faults.at = 0
            await asyncio.sleep(LONG_S)
            where = f"failed in step {at}, {step}: {made.faults.names}"
            assert isinstance(outcome, Done | StageFailed), where
            for check in (check_rest, check_history, check_trees):
                check(made, where)
            if isinstance(outcome, StageFailed) and "protect next c" not in made.faults.names:
                assert made.deployer.previous_ready, where
            disk.size = ROOMY
            assert isinstance(await deploy(made, "d"), Done), where
            check_rest(made, where)

    for at, step in enumerate(steps(disk, tmp_path, shortage), 1):
        run(failed_in(at, step))


@EACH_SHORTAGE
def test_whenever_the_daemon_stops_while_room_is_made_nothing_is_left(
    tmp_path: Path, disk: Disk, shortage: str
) -> None:
    async def stopped_in(at: int, step: str) -> None:
        async with machine_on(disk, tmp_path) as made:
            SHORTAGES[shortage][0](disk, made)
            telling = await come_to(at, made, lambda made: deploy(made, "c"))
            await made.deployer.stop()
            await telling
            where = f"stopped in step {at}, {step}"
            assert not made.running, where
            check_history(made, where)
            check_trees(made, where)

    for at, step in enumerate(steps(disk, tmp_path, shortage), 1):
        run(stopped_in(at, step))


@pytest.mark.parametrize("step", ["save contents", "everything", "remove"])
def test_spare_tree_that_cannot_be_discarded_fails_the_deploy_and_costs_nothing(
    tmp_path: Path, disk: Disk, step: str
) -> None:
    at = steps(disk, tmp_path, "no spare tree").index(step) + 1

    async def story() -> None:
        async with machine_on(disk, tmp_path) as made:
            room_without_a_spare_tree(disk, made)
            made.faults.names.clear()
            made.faults.at, made.faults.strike = at, raising(FULL if step.startswith("save") else NO_ROOM)
            outcome = await deploy(made, "c")
            assert isinstance(outcome, StageFailed)
            assert outcome.stage == "checkout"
            assert made.deployer.previous_ready
            assert not {"begin tree", "launch"} & set(made.faults.names)
            check_rest(made, step)

    run(story())


def test_deploy_fails_where_nothing_makes_room(tmp_path: Path, disk: Disk) -> None:
    async def story() -> None:
        async with machine_on(disk, tmp_path) as made:
            made.trees.path(SPARE).rmdir()
            made.trees.sizes[SPARE] = Size(0, 0)
            disk.size = 210
            outcome = await deploy(made, "c")
            assert isinstance(outcome, StageFailed)
            assert "no room for another version" in str(outcome)
            assert made.deployer.previous_ready
            check_rest(made, "")

    run(story())


def test_what_a_failed_deploy_wrote_is_taken_back_when_the_disk_is_full(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with machine_on(disk, tmp_path) as made:

            async def fill(*_: object) -> NoReturn:
                made.trees.sizes[SPARE] = Size(150 * MB, 10)
                disk.size = 360
                raise StageFailed("health", "cannot write its database")

            monkeypatch.setattr(made.launcher, "launch_beside", fill)
            outcome = await deploy(made, "c")
            assert isinstance(outcome, StageFailed)
            assert "reclaim" in made.faults.names
            assert "removed what a failed deploy had written" in "".join(outcome.warnings)
            check_rest(made, "")
            check_trees(made, "")

    run(story())


def test_live_slot_is_told_as_soon_as_the_full_disk_has_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, file = Path.write_text, tmp_path / LIVE_FILE
    full = True

    def write_text(path: Path, text: str) -> int:
        if full and path.parent == tmp_path:
            raise NO_ROOM
        return write(path, text)

    async def story() -> None:
        nonlocal full
        async with machine(tmp_path) as made:
            await made.app.start()
            await b_is_held(made)
            assert file.read_text() == "a\n"
            monkeypatch.setattr(Path, "write_text", write_text)
            assert isinstance(await promote(made), Done)
            await asyncio.sleep(LONG_S)
            assert file.read_text() == "a\n"

            full = False
            async with asyncio.timeout(LONG_S):
                await until(lambda: file.read_text() == "b\n")
            assert (tmp_path / "live").readlink() == Path("slot-b")
            await made.app.stop()
            await asyncio.sleep(0)  # Its tasks have been cancelled, and end now.

    run(story())
