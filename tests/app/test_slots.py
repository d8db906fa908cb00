"""Trees on a machine in memory: whatever fails while one is prepared, none passes for what it is not."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from slot_machine.app import slots
from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.custody import Custody
from slot_machine.app.setups import Setups
from slot_machine.app.slots import Slots
from slot_machine.app.stage_commands import StageCommands
from slot_machine.core.errors import GitFailed, SlotMachineError, StageFailed
from slot_machine.core.model import Attempt, Contents, Made, SetUp, State, Version
from slot_machine.core.phases import Event
from slot_machine.core.version_config import VersionConfig
from slot_machine.host.files import links, reclaim
from slot_machine.host.files.app_files import AppFiles
from slot_machine.host.files.capacity import Size
from slot_machine.host.git import trees
from tests.fakes import COMMITS, Database, Faults, Launcher, Shell, Trees, no_facts, raising, run

OLD, NEW = Version("a", COMMITS["a"], 1), Version("b", COMMITS["b"], 2)
FULL = sqlite3.OperationalError("database or disk is full")

T = TypeVar("T")


class Bench:
    """Trees, of which number 2 holds a version that nobody needs any more."""

    def __init__(
        self, data: Path, faults: Faults, shell: Shell, setup_command: str = "setup", build_command: str = ""
    ) -> None:
        self.faults = faults
        self.shell = shell
        shell.faults = faults
        self.store = Database(faults, data / "state.db")
        self.trees = Trees(faults, data)
        self.custody = Custody(self.trees, self.store)
        self.custody.tell_of_forks = self._forks  # type: ignore[assignment,method-assign]
        settings = {
            "start_command": "app",
            "setup_command": setup_command,
            "setup_timeout_ms": 5000,
            "build_command": build_command,
        }
        self.version = Version(NEW.slot, NEW.commit, NEW.tree, msgspec.convert(settings, VersionConfig))
        launcher = Launcher(faults, self.store, data)
        commands = StageCommands(self.store, launcher, data, shell)
        setups = Setups(self.trees, self.store, launcher, commands, no_facts)
        self.slots = Slots(self.trees, self.store, commands, setups, self.custody)
        for tree, commit in ((1, COMMITS["a"]), (2, COMMITS["c"])):
            self.trees.path(tree).mkdir(exist_ok=True)
            self.trees.heads[tree] = commit
            self.store.save_contents(tree, Contents(commit, commit))
        self.store.save_state(State(OLD, Version("b", COMMITS["d"], 3)))
        faults.names.clear()

    async def _forks(self, *_: object) -> None:
        await self.faults.step("forks")

    def attempt(self) -> RunningAttempt:
        record = Attempt(id=0, kind="deploy", trigger="api", started_at="then")
        attempt = RunningAttempt(record, self.store, lambda _: None)
        attempt.on(Event.DEPLOY)
        attempt.on(Event.RESOLVED)
        return attempt

    async def prepare(self) -> RunningAttempt:
        attempt = self.attempt()
        await self.slots.prepare(attempt, self.version)
        return attempt

    def check(self, where: str) -> None:
        """No tree is said to hold a commit that is not in it, no setup runs, and no log is open."""
        for tree in (1, 2, 3):
            contents = self.store.contents(tree)
            assert contents is None or contents.commit == self.trees.heads.get(tree), where
        assert self.store.contents(1) == Contents(COMMITS["a"], COMMITS["a"]), where
        assert self.store.processes() == [], where
        files = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        assert not [name for name in files if name.startswith(str(self.trees.data)) and name.endswith(".log")], where

    async def check_it_works(self, where: str) -> None:
        """Another attempt does."""
        self.faults.at = 0
        await self.prepare()
        assert self.slots.holds(NEW), where
        made = self.store.made(NEW.tree)
        assert made, where
        assert not made.unfinished, where


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    async def at_once(work: Callable[[], T]) -> T:
        return work()

    shell = Shell(Faults())
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    return shell


@pytest.fixture
def bench(tmp_path: Path, shell: Shell) -> Bench:
    return Bench(tmp_path, Faults(), shell)


def steps(bench: Bench) -> list[str]:
    run(_prepared(bench))
    bench.store.close()
    return list(bench.faults.names)


async def _prepared(bench: Bench) -> None:
    await bench.prepare()


@asynccontextmanager
async def another(data: Path, shell: Shell, faults: Faults) -> AsyncIterator[Bench]:
    bench = Bench(data, faults, shell)
    yield bench
    bench.store.close()


def test_tree_is_trusted_once_it_was_checked_out_and_set_up(bench: Bench) -> None:
    names = steps(bench)

    assert names.index("begin tree") < names.index("checkout") < names.index("setup") < names.index("save contents")
    assert names.index("protect next b") < names.index("checkout"), "git must not collect it"
    assert names.index("protect previous d") < names.index("protect next b")


ERRORS = {"named": GitFailed("no"), "of the system": PermissionError(1, "not permitted"), "unforeseen": ValueError("?")}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_whatever_fails_no_tree_passes_for_prepared(tmp_path: Path, shell: Shell, error: Exception) -> None:
    async def story(at: int, step: str) -> None:
        strike = raising(FULL if step.startswith(("begin", "save")) else error)
        async with another(tmp_path, shell, Faults()) as bench:
            attempt = bench.attempt()
            bench.faults.names.clear()
            bench.faults.at, bench.faults.strike = at, strike
            try:
                await bench.slots.prepare(attempt, bench.version)
            except (SlotMachineError, OSError, sqlite3.Error, ValueError):
                assert not bench.slots.holds(NEW), step
            bench.check(step)
            await bench.check_it_works(step)

    for at, step in enumerate(steps(Bench(tmp_path, Faults(), shell))[3:], 1):
        run(story(at, step))


def test_wherever_it_is_cancelled_no_tree_passes_for_prepared(tmp_path: Path, shell: Shell) -> None:
    async def story(at: int, step: str) -> None:
        async with another(tmp_path, shell, Faults()) as bench:
            came = asyncio.Event()
            bench.faults.at, bench.faults.strike = at, came.set
            preparing = asyncio.ensure_future(bench.prepare())
            await came.wait()
            preparing.cancel()
            await asyncio.wait([preparing])
            bench.check(step)
            assert bench.slots.holds(NEW) != preparing.cancelled(), step
            await bench.check_it_works(step)

    for at, step in enumerate(steps(Bench(tmp_path, Faults(), shell)), 1):
        run(story(at, step))


def test_setup_that_fails_says_how_and_what_it_printed(bench: Bench) -> None:
    async def story() -> None:
        bench.shell.code = 3
        with pytest.raises(StageFailed, match="failed with exit code 3: setup") as failed:
            await bench.prepare()
        assert failed.value.stage == "setup"
        assert failed.value.output == ("installing",)
        bench.check("")
        made = bench.store.made(NEW.tree)
        assert made
        assert made.unfinished, "what it wrote is not the app's"

    run(story())


def test_setup_that_does_not_end_is_ended(bench: Bench) -> None:
    async def story() -> None:
        bench.shell.hangs = True
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(StageFailed, match="did not end within 5 s") as failed:
            await bench.prepare()
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(5)
        assert "setup_timeout_ms" in failed.value.hint
        assert failed.value.output == ("installing",)
        bench.check("")

    run(story())


def test_no_setup_is_run_where_there_is_none(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing that lies in the tree is taken for what it made."""

    async def of_setup(_: AppFiles) -> Made:
        return Made({b"left": (1, 1)})

    monkeypatch.setattr(AppFiles, "of_setup", of_setup)
    bench = Bench(tmp_path, Faults(), shell, setup_command="")
    bench.store.save_setup(NEW.tree, SetUp("another", {}, {}, "", {}, {}))

    run(bench.prepare())

    assert bench.shell.ran == []
    assert bench.store.setup(NEW.tree) is None, "a retry of the other commit must not trust it"
    assert bench.slots.holds(NEW)
    made = bench.store.made(NEW.tree)
    assert made
    assert made.files == {}


@pytest.mark.parametrize(
    ("contents", "head", "is_held", "is_checked_out"),
    [
        (None, NEW.commit, False, False),
        (Contents("another", ""), "another", False, False),
        (Contents(NEW.commit, ""), "another", True, False),
        (Contents(NEW.commit, ""), NEW.commit, True, True),
    ],
    ids=["unfinished", "another", "not says git", "yes"],
)
def test_tree_holds_what_the_database_and_git_say(
    bench: Bench, contents: Contents | None, head: str, is_held: bool, is_checked_out: bool
) -> None:
    bench.store.save_contents(NEW.tree, contents)
    bench.trees.heads[NEW.tree] = head

    assert bench.slots.holds(NEW) is is_held
    assert run(bench.slots.checked_out(NEW)) is is_checked_out


def test_tree_that_was_set_up_under_the_name_of_the_other_slot_is_not_held(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "made_as_slot", lambda _: True)
    bench.store.save_contents(2, Contents(COMMITS["b"], ""))

    assert bench.slots.holds(Version("b", COMMITS["b"], 2))
    assert not bench.slots.holds(Version("a", COMMITS["b"], 2))


class Written(AppFiles):
    def __init__(self, bench: Bench, edits: list[str], *, has_new_data: bool) -> None:
        super().__init__(bench.trees.try_git, bench.trees.path(NEW.tree), Made())
        self.found = edits
        self.has_new_data = has_new_data

    async def edits(self) -> list[str]:
        return self.found

    async def data_changed(self) -> bool:
        return self.has_new_data


@pytest.mark.parametrize(
    ("head", "edits", "data", "broken", "is_untouched", "warning"),
    [
        (NEW.commit, [], True, False, True, ""),
        (NEW.commit, ["app.py"], True, False, False, "was edited (app.py)"),
        (NEW.commit, [], False, False, False, "was edited (it is not clear where)"),
        ("another", [], True, False, False, "was edited"),
        (NEW.commit, ["app.py"], False, True, True, "git can't tell"),
    ],
    ids=["data", "edited", "unclear", "another commit", "git broken"],
)
def test_tree_with_another_fingerprint_is_used_if_nobody_edited_it(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    head: str,
    edits: list[str],
    data: bool,
    broken: bool,
    is_untouched: bool,
    warning: str,
) -> None:
    bench.store.save_contents(NEW.tree, Contents(NEW.commit, "before"))
    bench.trees.heads[NEW.tree] = head
    written = Written(bench, edits, has_new_data=data)
    monkeypatch.setattr(bench.custody, "app_files", lambda _: written)
    if broken:
        monkeypatch.setattr(bench.trees, "check_repository", raising(GitFailed("no")))

    async def story() -> None:
        attempt = bench.attempt()
        assert await bench.slots.untouched(attempt, NEW) is is_untouched
        assert len(attempt.warnings) == bool(warning)
        assert warning in "".join(attempt.warnings)

    run(story())


def test_tree_of_another_commit_is_not_used_whatever_its_fingerprint_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fingerprint(_: int) -> str:
        return "same"

    monkeypatch.setattr(bench.trees, "fingerprint", fingerprint)
    bench.store.save_contents(NEW.tree, Contents(NEW.commit, "same"))
    bench.trees.heads[NEW.tree] = "another"

    assert not run(bench.slots.untouched(bench.attempt(), NEW))


def test_tree_with_its_fingerprint_is_used_and_one_that_is_not_held_is_not(bench: Bench) -> None:
    async def story() -> None:
        attempt = bench.attempt()
        assert await bench.slots.untouched(attempt, OLD)
        bench.faults.names.clear()
        assert not await bench.slots.untouched(attempt, NEW)
        assert bench.faults.names == [], "git is not asked"
        assert attempt.warnings == ()

    run(story())


def test_links_are_set_again_without_the_reserve_on_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    point, reserve = links.point, bench.store.reserve.path
    reserve.touch()

    def while_full(link: Path, target: str | None) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        point(link, target)

    monkeypatch.setattr(links, "point", while_full)
    bench.slots.link()

    assert (bench.trees.data / "live").readlink() == Path("slot-a")
    assert not (bench.trees.data / "previous").is_symlink(), "its tree does not hold it"
    bench.store.save_contents(3, Contents(COMMITS["d"], ""))
    bench.slots.link()
    assert (bench.trees.data / "previous").readlink() == Path("slot-b")


@pytest.mark.parametrize("error", [OSError(errno.EROFS, "Read-only file system"), FULL], ids=["system", "database"])
def test_links_that_cannot_be_set_fail_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    monkeypatch.setattr(links, "point", lambda *_: raising(error)())

    bench.slots.link()

    assert str(error) in caplog.text


def test_what_a_failed_deploy_wrote_is_removed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[tuple[Path, int]] = []
    monkeypatch.setattr(reclaim, "reclaim", lambda *of: removed.append(of))
    bench.store.begin_tree(NEW.tree, 77)
    bench.store.save_contents(NEW.tree, Contents(NEW.commit, ""))

    async def story() -> None:
        attempt = bench.attempt()
        bench.store.save_setup(NEW.tree, SetUp("", {}, {}, "", {}, {}))
        await bench.slots.take_back(attempt, NEW.tree)
        assert bench.store.setup(NEW.tree) is None, "what it installed is gone"
        assert removed == [(bench.trees.path(NEW.tree), 77)]
        assert bench.store.size(NEW.tree) == Size(1, 1)
        assert bench.store.contents(NEW.tree) is None
        assert "removed what a failed deploy had written" in attempt.warnings[0]

    run(story())


@pytest.mark.parametrize("tree", [1, 3], ids=["live", "previous"])
def test_tree_in_use_is_not_taken_back(bench: Bench, monkeypatch: pytest.MonkeyPatch, tree: int) -> None:
    monkeypatch.setattr(reclaim, "reclaim", raising(AssertionError("it is in use")))
    if tree == 3:
        bench.store.begin_tree(3, 77)
        bench.store.save_contents(3, Contents(COMMITS["d"], ""))
    before = bench.store.contents(tree)

    async def story() -> None:
        attempt = bench.attempt()
        await bench.slots.take_back(attempt, tree)
        assert attempt.warnings == ()
        assert bench.store.contents(tree) == before

    run(story())


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), FULL], ids=["system", "database"])
def test_tree_that_cannot_be_taken_back_fails_no_deploy(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(reclaim, "reclaim", lambda *_: raising(error)())
    bench.store.begin_tree(NEW.tree, 77)

    async def story() -> None:
        attempt = bench.attempt()
        await bench.slots.take_back(attempt, NEW.tree)
        assert str(error) in attempt.warnings[0]

    run(story())


def test_trees_that_no_slot_leads_to_any_more_are_seen_to_after_a_switch(bench: Bench) -> None:
    set_aside: list[Version] = []

    async def note(_: RunningAttempt, version: Version) -> None:
        set_aside.append(version)

    bench.custody.set_aside = note  # type: ignore[assignment,method-assign]

    async def story() -> None:
        before = bench.store.state()
        bench.store.save_state(before.promoted(NEW, "now"))
        await bench.slots.left(bench.attempt(), before)
        assert set_aside == [before.previous]
        assert bench.faults.names[-1] == "forks"

    run(story())


def test_nothing_is_discarded_where_nothing_is(bench: Bench) -> None:
    bench.trees.path(NEW.tree).rmdir()
    before = bench.store.contents(NEW.tree)

    async def story() -> None:
        await bench.slots.discard(bench.attempt(), NEW.tree)
        assert bench.store.contents(NEW.tree) == before

    run(story())


@pytest.mark.parametrize("fails", [False, True])
def test_tree_is_discarded_once_what_the_app_wrote_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    removed: list[Path] = []

    async def remove(path: Path, _: str) -> None:
        removed.append(path)

    async def everything(_: AppFiles) -> list[str]:
        if fails:
            raise OSError(errno.EIO, "Input/output error")
        return []

    monkeypatch.setattr(slots, "remove_tree", remove)
    monkeypatch.setattr(AppFiles, "everything", everything)
    bench.store.save_size(NEW.tree, Size(7, 7))

    async def story() -> None:
        bench.store.save_setup(NEW.tree, SetUp("", {}, {}, "", {}, {}))
        discarding = asyncio.ensure_future(bench.slots.discard(bench.attempt(), NEW.tree))
        await asyncio.wait([discarding])
        assert bool(discarding.exception()) is fails
        assert bench.store.setup(NEW.tree) is None
        assert removed == ([] if fails else [bench.trees.path(NEW.tree)])
        assert bench.store.contents(NEW.tree) is None
        assert bench.store.size(NEW.tree) == (Size(7, 7) if fails else None)

    run(story())
