"""What the app wrote into its tree, when moving it fails or is broken off."""

import asyncio
import errno
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path

import pytest

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.custody import Clearing, Custody
from slot_machine.core.errors import GitFailed
from slot_machine.core.model import Attempt, Made, Version
from slot_machine.host.files import kept, mounts
from slot_machine.host.files.app_files import AppFiles
from slot_machine.host.files.kept import Kept
from slot_machine.host.files.reserve import Reserve
from tests.fakes import COMMITS, Database, Faults, Trees

A = Version("a", COMMITS["a"], 1)
FULL = OSError(errno.ENOSPC, "No space left on device")

Story = Callable[[RunningAttempt, Custody], Coroutine[None, None, None]]


class Written(AppFiles):
    """Names that the app wrote."""

    def __init__(self, trees: Trees, *names: str) -> None:
        super().__init__(trees.try_git, trees.path(A.tree), Made())
        self.names = list(names)
        self.failure: Exception | None = None
        for name in names:
            (trees.path(A.tree) / name).write_text("written")

    async def in_use(self) -> list[str]:
        if self.failure:
            raise self.failure
        return self.names

    async def overwritten_by(self, _: str) -> list[str]:
        return await self.in_use()

    async def everything(self) -> list[str]:
        return await self.in_use()


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    trees = Trees(Faults(), tmp_path)
    trees.path(A.tree).mkdir()
    return trees


@pytest.fixture
def written(trees: Trees) -> Written:
    return Written(trees, "x", "y")


def tell(trees: Trees, store: Database, written: Written, story: Story) -> RunningAttempt:
    record = Attempt(id=0, kind="deploy", trigger="api", started_at="then")
    attempt = RunningAttempt(record, store, lambda _: None)
    custody = Custody(trees, store)
    custody.app_files = lambda _: written  # type: ignore[assignment,method-assign]
    asyncio.run(story(attempt, custody))
    return attempt


def kept_names(trees: Trees) -> set[str]:
    return {path.name for path in (trees.data / "kept").rglob("*") if path.is_file()}


def failing(monkeypatch: pytest.MonkeyPatch, error: OSError, times: int, after: int = 0) -> None:
    """Moves `after` names before it fails, so many times."""
    move, left = kept.move, [times]

    def refuse(tree: Path, names: Iterable[str], folder: Path, moved: list[str]) -> None:
        if left[0]:
            left[0] -= 1
            move(tree, list(names)[:after], folder, moved)
            raise error
        move(tree, [name for name in names if (tree / name).exists()], folder, moved)

    monkeypatch.setattr(kept, "move", refuse)


def test_what_was_moved_is_said_and_kept(trees: Trees, store: Database, written: Written) -> None:
    async def story(attempt: RunningAttempt, custody: Custody) -> None:
        await custody.set_aside(attempt, A)

    attempt = tell(trees, store, written, story)

    assert kept_names(trees) == {"x", "y"}
    (warning,) = attempt.warnings
    assert "x, y" in warning


def test_nothing_written_is_nothing_said(trees: Trees, store: Database) -> None:
    async def story(attempt: RunningAttempt, custody: Custody) -> None:
        await custody.set_aside(attempt, A)

    assert tell(trees, store, Written(trees), story).warnings == ()
    assert not (trees.data / "kept").exists()


@pytest.mark.parametrize("end", [ValueError("a defect"), asyncio.CancelledError()], ids=["failed", "cancelled"])
def test_what_was_moved_is_said_though_the_checkout_does_not_come_to_its_end(
    trees: Trees, store: Database, written: Written, end: BaseException
) -> None:
    async def checkout(attempt: RunningAttempt, custody: Custody) -> None:
        async with custody.clearing(attempt, A) as clearing:
            await clearing.before_checkout(A.commit)
            raise end

    async def story(attempt: RunningAttempt, custody: Custody) -> None:
        with pytest.raises(type(end)):
            await checkout(attempt, custody)

    assert "x, y" in tell(trees, store, written, story).warnings[0]


def test_part_that_was_moved_before_a_failure_is_said(
    trees: Trees, store: Database, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, OSError(errno.EIO, "Input/output error"), times=1, after=1)

    async def story(attempt: RunningAttempt, custody: Custody) -> None:
        await custody.set_aside(attempt, A)

    moved, failed = tell(trees, store, written, story).warnings

    assert moved.endswith(": x")
    assert "tries again" in failed
    assert kept_names(trees) == {"x"}
    assert (trees.path(A.tree) / "y").exists()


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), GitFailed("no")], ids=["system", "git"])
def test_what_cannot_be_listed_fails_no_deploy(
    trees: Trees, store: Database, written: Written, error: Exception
) -> None:
    written.failure = error

    async def story(attempt: RunningAttempt, custody: Custody) -> None:
        await custody.set_aside(attempt, A)

    (warning,) = tell(trees, store, written, story).warnings
    assert "cannot keep what was written into" in warning


def test_defect_is_not_taken_for_a_failure_to_keep(trees: Trees, store: Database, written: Written) -> None:
    written.failure = ValueError("a defect")

    async def story(attempt: RunningAttempt, custody: Custody) -> None:
        with pytest.raises(ValueError, match="a defect"):
            await custody.set_aside(attempt, A)

    tell(trees, store, written, story)


@pytest.mark.parametrize(
    ("error", "times", "reserve", "kept"),
    [
        (FULL, 1, True, {"x", "y"}),
        (FULL, 2, True, {"x"}),
        (FULL, 1, False, {"x"}),
        (OSError(errno.EIO, "Input/output error"), 1, True, {"x"}),
    ],
    ids=["full", "full still", "full without a reserve", "broken"],
)
def test_full_disk_costs_the_reserve_and_another_failure_does_not(
    trees: Trees,
    store: Database,
    written: Written,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    times: int,
    reserve: bool,
    kept: set[str],
) -> None:
    failing(monkeypatch, error, times, after=1)
    if reserve:
        store.reserve.path.touch()

    async def story(attempt: RunningAttempt, custody: Custody) -> None:
        await custody.set_aside(attempt, A)

    tell(trees, store, written, story)

    assert kept_names(trees) == kept
    assert store.reserve.path.exists() == (reserve and error is not FULL)


def test_tree_is_moved_as_a_whole_where_a_part_cannot_be(
    trees: Trees, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, PermissionError(errno.EPERM, "Operation not permitted"), times=1)
    tree, folder = trees.path(A.tree), trees.data / "kept" / "now"
    clearing = Clearing(written, tree, folder, Reserve(trees.data))

    asyncio.run(clearing.before_removal())

    assert clearing.moved == ["tree-1 as a whole"]
    assert not tree.exists()
    assert kept_names(trees) == {"x", "y"}


def test_tree_with_a_mount_in_it_is_not_begun_anew(
    trees: Trees, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = trees.path(A.tree)
    monkeypatch.setattr(mounts, "at_or_below", lambda _: [tree / "mounted"])
    clearing = Clearing(written, tree, trees.data / "kept" / "now", Reserve(trees.data))

    with pytest.raises(OSError, match="mounted"):
        asyncio.run(clearing.before_removal())

    assert clearing.moved == []
    assert {path.name for path in tree.iterdir()} == {"x", "y"}


def test_what_cannot_be_pruned_is_said_and_fails_nothing(
    trees: Trees, store: Database, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Kept, latest: Path, removed: list[str]) -> None:
        assert latest.exists()
        removed.append("an old one")
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Kept, "prune", refuse)

    async def story(attempt: RunningAttempt, custody: Custody) -> None:
        await custody.set_aside(attempt, A)

    _, failed, removed = tell(trees, store, written, story).warnings
    assert "cannot remove what was kept earlier" in failed
    assert "an old one" in removed
    assert kept_names(trees) == {"x", "y"}
