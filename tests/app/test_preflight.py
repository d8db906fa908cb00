"""Room for another version, on a machine in memory."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from slot_machine.app.preflight import MARGIN, MEASURED_AFTER_S, Preflight
from slot_machine.app.release import Release
from slot_machine.app.run import Run
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import TREES, WEB, Contents, Running, State, Version
from slot_machine.host.files import capacity
from slot_machine.host.files.capacity import Size
from slot_machine.host.process import proc
from tests.fakes import COMMITS, Database, Faults, Processes, Trees, raising, run

LIVE, PREVIOUS, NEXT = (Version("b" if tree == 2 else "a", COMMITS["abc"[tree - 1]], tree) for tree in TREES)
MB = 1_000_000
ENOUGH = Size(sys.maxsize, sys.maxsize)

Story = Callable[[Preflight], Awaitable[None]]


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(Faults(), tmp_path)


def tell(trees: Trees, store: Database, story: Story) -> None:
    async def told() -> None:
        async with asyncio.TaskGroup() as tasks:
            await story(Preflight(trees, store, tasks))

    run(told())


def free(monkeypatch: pytest.MonkeyPatch, size: Size) -> None:
    monkeypatch.setattr(capacity, "free", lambda _: size)


def lack(trees: Trees, store: Database, version: Version = NEXT) -> str:
    found = []

    async def story(preflight: Preflight) -> None:
        found.append(preflight.lack(version))

    tell(trees, store, story)
    return found[0]


@pytest.mark.parametrize(
    ("sizes", "grows_by", "takes"),
    [
        ({}, Size(0, 0), MARGIN),
        ({1: Size(100 * MB, 1000)}, Size(100 * MB, 1000), Size(126 * MB, 1300)),
        ({2: Size(100 * MB, 1000)}, Size(100 * MB, 1000), Size(126 * MB, 1300)),
        ({1: Size(100 * MB, 1000), 2: Size(900 * MB, 9000)}, Size(100 * MB, 1000), Size(126 * MB, 1300)),
        ({1: Size(100 * MB, 1000), 3: Size(40 * MB, 400)}, Size(60 * MB, 600), Size(82 * MB, 860)),
        ({1: Size(100 * MB, 1000), 3: Size(900 * MB, 9000)}, Size(0, 0), MARGIN),
    ],
    ids=["nothing known", "live", "previous", "live first", "partly there", "more than that there"],
)
def test_a_version_needs_what_the_live_one_took_beyond_what_its_tree_has(
    trees: Trees,
    store: Database,
    monkeypatch: pytest.MonkeyPatch,
    sizes: dict[int, Size],
    grows_by: Size,
    takes: Size,
) -> None:
    store.save_state(State(LIVE, PREVIOUS))
    for tree, size in sizes.items():
        store.save_size(tree, size)

    free(monkeypatch, takes)
    assert lack(trees, store) == ""
    free(monkeypatch, Size(takes.bytes - 1, takes.inodes))
    assert f"may grow by {grows_by.bytes / MB:.1f} MB, which takes {takes.bytes / MB:.1f} MB" in lack(trees, store)
    free(monkeypatch, Size(takes.bytes, takes.inodes - 1))
    assert f"may grow by {grows_by.inodes} inodes, which takes {takes.inodes} inodes" in lack(trees, store)


def test_lack_of_room_fails_the_checkout(trees: Trees, store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(preflight: Preflight) -> None:
        free(monkeypatch, ENOUGH)
        preflight.check_disk(NEXT)
        free(monkeypatch, Size(0, 0))
        with pytest.raises(StageFailed, match="no room for another version: slot a") as failed:
            preflight.check_disk(NEXT)
        assert failed.value.stage == "checkout"

    tell(trees, store, story)


@pytest.mark.parametrize(
    ("size", "full"),
    [(MARGIN, False), (Size(MARGIN.bytes - 1, MARGIN.inodes), True), (Size(MARGIN.bytes, MARGIN.inodes - 1), True)],
)
def test_disk_is_full_that_has_no_room_for_a_deploy(
    trees: Trees, store: Database, monkeypatch: pytest.MonkeyPatch, size: Size, full: bool
) -> None:
    async def story(preflight: Preflight) -> None:
        free(monkeypatch, size)
        assert preflight.is_full() is full

    tell(trees, store, story)


def test_disk_that_cannot_be_asked_is_not_called_full(
    trees: Trees, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(preflight: Preflight) -> None:
        monkeypatch.setattr(capacity, "free", lambda _: raising(OSError(5, "Input/output error"))())
        assert not preflight.is_full()

    tell(trees, store, story)


@pytest.mark.parametrize(
    ("resident", "proportional", "available", "warns"),
    [(10, 99, 21, False), (10, 9, 20, False), (10, 10, 20, True)],
    ids=["fits as it is", "fits as much is shared", "does not fit"],
)
def test_memory_that_a_second_copy_would_not_find_is_warned_of(
    trees: Trees,
    store: Database,
    monkeypatch: pytest.MonkeyPatch,
    resident: int,
    proportional: int,
    available: int,
    warns: bool,
) -> None:
    """Of each of two processes. The cheap figure is asked for first; only the exact one warns."""
    processes = Processes(Faults(), 1)
    monkeypatch.setattr(processes, "members", lambda: [1, 2])
    monkeypatch.setattr(proc, "resident_bytes", lambda _: resident * MB)
    monkeypatch.setattr(capacity, "proportional_bytes", lambda _: proportional * MB)
    monkeypatch.setattr(capacity, "available_memory", lambda: available * MB)

    async def story(preflight: Preflight) -> None:
        web = Run(WEB, 1, processes, Running(LIVE, 1, 1, 1), store, Path("slot-a.log"))
        warning = preflight.memory_warning(Release(LIVE, web))
        assert warning == ("the app takes 20.0 MB of memory, and 20.0 MB are left for a second one" if warns else "")

    tell(trees, store, story)


def test_trees_are_measured_once_a_while_after_the_latest_deploy(trees: Trees, store: Database) -> None:
    trees.sizes = {1: Size(10, 1), 2: Size(20, 2)}

    async def story(preflight: Preflight) -> None:
        preflight.measure(1)
        await asyncio.sleep(MEASURED_AFTER_S * 0.9)
        preflight.measure(2)
        await asyncio.sleep(MEASURED_AFTER_S * 0.9)
        assert store.size(1) is store.size(2) is None
        await asyncio.sleep(MEASURED_AFTER_S)
        assert (store.size(1), store.size(2)) == (Size(10, 1), Size(20, 2))

        trees.sizes = {}
        preflight.measure(3)
        await asyncio.sleep(MEASURED_AFTER_S + 1)
        assert [store.size(tree) for tree in TREES] == [Size(10, 1), Size(20, 2), Size(1, 1)]

    tell(trees, store, story)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("unforeseen")])
def test_tree_that_cannot_be_measured_keeps_no_other_from_it(trees: Trees, store: Database, error: Exception) -> None:
    faults = Faults(1, raising(error))
    trees = Trees(faults, trees.data)

    async def story(preflight: Preflight) -> None:
        preflight.measure(1)
        preflight.measure(2)
        await asyncio.sleep(MEASURED_AFTER_S + 1)
        assert (store.size(1), store.size(2)) == (None, Size(1, 1))

    tell(trees, store, story)


@pytest.mark.parametrize("turns", range(6))
def test_trees_that_a_deploy_came_before_are_measured_after_it(trees: Trees, store: Database, turns: int) -> None:
    """It stops the measuring, wherever that is."""

    async def story(preflight: Preflight) -> None:
        preflight.measure(1)
        preflight.measure(2)
        await asyncio.sleep(MEASURED_AFTER_S)
        for _ in range(turns):
            await asyncio.sleep(0)
        preflight.cancel()
        await asyncio.sleep(MEASURED_AFTER_S + 1)
        preflight.measure(3)
        await asyncio.sleep(MEASURED_AFTER_S + 1)
        assert [store.size(tree) for tree in TREES] == [Size(1, 1)] * 3

    tell(trees, store, story)


def test_what_an_earlier_daemon_did_not_get_to_measure_is(trees: Trees, store: Database) -> None:
    for tree in (1, 2):
        store.save_contents(tree, Contents("c", ""))
    store.save_size(1, Size(7, 7))

    async def story(preflight: Preflight) -> None:
        preflight.measure_unknown()
        await asyncio.sleep(MEASURED_AFTER_S + 1)
        assert [store.size(tree) for tree in TREES] == [Size(7, 7), Size(1, 1), None]

    tell(trees, store, story)


def test_what_the_room_depends_on_is_measured_at_once(trees: Trees, store: Database) -> None:
    store.save_state(State(LIVE, PREVIOUS))
    for tree in TREES:
        store.save_size(tree, Size(7, 7))

    async def story(preflight: Preflight) -> None:
        await preflight.measure_again(NEXT.tree)
        assert [store.size(tree) for tree in TREES] == [Size(1, 1)] * 3

    tell(trees, store, story)
