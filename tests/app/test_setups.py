"""Setups that run or are skipped, in trees on the disk, with everything else in memory."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.custody import Custody
from slot_machine.app.setups import Setups, Wish
from slot_machine.app.stage_commands import StageCommands
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Attempt, Printed, Progress, State, Version
from slot_machine.core.phases import Event
from slot_machine.core.version_config import VersionConfig
from slot_machine.host.files import installed
from tests.fakes import COMMITS, Database, Faults, Launcher, Shell, Trees, run

T = TypeVar("T")
APP = {"package.json": "{}", "package-lock.json": "{}"}


class Npm(Shell):
    """Installs into the folder in which it runs."""

    async def __call__(self, command: str, folder: Path, *more: object) -> int:
        (folder / "node_modules/left-pad").mkdir(parents=True, exist_ok=True)
        return await super().__call__(command, folder, *more)  # type: ignore[arg-type]


class Commits(Trees):
    """Each tree has the files of `tracked`, whatever its commit is."""

    def __init__(self, faults: Faults, data: Path) -> None:
        super().__init__(faults, data)
        self.tracked = dict(APP)

    async def try_git(self, folder: Path, *args: str) -> tuple[int, str, str]:
        if "ls-tree" not in args:
            return 0, "", ""
        for name, text in self.tracked.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return 0, "".join(f"100644 blob {text.encode().hex()}\t{name}\n" for name, text in self.tracked.items()), ""


class Bench:
    def __init__(self, data: Path, command: str = "npm ci") -> None:
        self.shell, self.facts = Npm(Faults()), {"node": "v20"}
        self.store, self.trees = Database(Faults(), data / "state.db"), Commits(Faults(), data)
        launcher = Launcher(Faults(), self.store, data)
        commands = StageCommands(self.store, launcher, data, self.shell)
        self.variables = launcher.variables
        self.setups = Setups(self.trees, self.store, launcher, commands, self._find_facts)
        self.custody = Custody(self.trees, self.store)
        self.config = msgspec.convert({"start_command": "app", "setup_command": command}, VersionConfig)
        self.said: list[str] = []
        for tree in (1, 2, 3):
            self.trees.path(tree).mkdir()

    async def _find_facts(self, _folder: Path, _env: object, _owner: str, _programs: Sequence[str]) -> dict[str, str]:
        return self.facts

    def set_up(self, tree: int = 1, commit: str = "a", wish: Wish = Wish()) -> str:  # noqa: B008
        """Returns what the client is told of it."""
        self.said.clear()
        version = Version("a", COMMITS[commit], tree, self.config)
        attempt = RunningAttempt(Attempt(id=0, kind="deploy", trigger="api", started_at=""), self.store, self._report)
        for event in (Event.DEPLOY, Event.RESOLVED, Event.CHECKED_OUT):
            attempt.on(event)
        folder = self.trees.path(tree)
        run(self.setups.run(attempt, version, folder, self.custody.app_files(tree), wish))
        attempt.on(Event.PREPARED)
        return next(text for text in self.said if text.startswith(("runs: ", "skipped: ")))

    def _report(self, progress: Progress | Printed) -> None:
        if isinstance(progress, Progress):
            self.said.append(progress.message)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    async def at_once(work: Callable[[], T]) -> T:
        return work()

    async def copied(source: Path, target: Path, _owner: str) -> bool:
        target.mkdir()
        return source.is_dir()

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    monkeypatch.setattr(installed, "copy", copied)
    return Bench(tmp_path)


SKIPPED = "skipped: package-lock.json is unchanged"
UNFINISHED = "runs: there is no finished setup in this tree"


def test_second_setup_in_the_same_tree_is_skipped(bench: Bench) -> None:
    assert bench.set_up() == UNFINISHED
    assert bench.set_up(commit="b") == SKIPPED
    assert bench.shell.ran == ["npm ci"]
    assert bench.set_up(tree=2) == UNFINISHED


def test_whatever_it_depends_on_runs_it_again(bench: Bench) -> None:
    bench.set_up()
    bench.trees.tracked["patches/left-pad.patch"] = "1"
    assert bench.set_up() == "runs: patches/ changed"
    bench.facts = {"node": "v22"}
    assert bench.set_up() == "runs: node changed"
    (bench.trees.path(1) / "node_modules/left-pad").rmdir()
    assert bench.set_up() == "runs: node_modules is not as the setup left it"
    bench.config = msgspec.structs.replace(bench.config, setup_command="npm ci --omit=dev")
    assert bench.set_up() == "runs: setup_command changed"
    assert bench.set_up(wish=Wish(forced=True)) == "runs: --setup"
    assert bench.set_up() == SKIPPED


def test_variable_that_names_other_files_is_a_doubt(bench: Bench) -> None:
    bench.variables["BUNDLE_GEMFILE"] = "of another tool"
    bench.set_up()
    assert bench.set_up() == SKIPPED

    bench.variables["npm_config_prefix"] = "elsewhere"
    bench.set_up()
    assert bench.set_up() == "runs: npm_config_prefix names other files; setup_inputs can name those"

    bench.config = msgspec.structs.replace(bench.config, setup_inputs=("package-lock.json",))
    bench.set_up()
    assert bench.set_up() == SKIPPED


def test_failed_setup_is_no_finished_one(bench: Bench) -> None:
    bench.set_up()
    bench.trees.tracked["package-lock.json"] = '{"new": 1}'
    bench.shell.code = 1
    with pytest.raises(StageFailed):
        bench.set_up()
    assert bench.store.setup(1) is None
    bench.trees.tracked = dict(APP)
    bench.shell.code = 0

    assert bench.set_up() == UNFINISHED, "the failed one has removed what the first one had installed"


def test_mark_is_dropped_before_it_runs_and_written_when_its_files_are_on_the_disk(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks: list[object] = []
    bench.set_up()
    monkeypatch.setattr(installed, "reach_the_disk", lambda _: marks.append(bench.store.setup(1)))
    bench.shell.faults = Faults(1, lambda: marks.append(bench.store.setup(1)))

    bench.set_up(wish=Wish(forced=True))

    assert marks == [None, None]
    assert bench.store.setup(1)


def test_retry_skips_even_a_setup_that_may_depend_on_anything(bench: Bench) -> None:
    bench.config = msgspec.structs.replace(bench.config, setup_command="npm ci && npm run build")
    doubt = "runs: `npm run build` may depend on any file; setup_inputs can name those that count"
    bench.set_up()

    assert bench.set_up(commit="b") == doubt
    assert bench.set_up(commit="b") == doubt
    retry = Wish(is_retry=True)
    assert bench.set_up(commit="b", wish=retry) == "skipped: the setup of this commit has ended well before"
    assert bench.set_up(commit="a", wish=retry) == doubt
    assert bench.set_up(commit="a", wish=Wish(forced=True, is_retry=True)) == "runs: --setup"


def test_given_inputs_alone_decide(bench: Bench) -> None:
    bench.config = msgspec.structs.replace(bench.config, setup_command="make deps", setup_inputs=("deps.txt",))
    bench.trees.tracked["deps.txt"] = "1"
    bench.set_up()
    bench.trees.tracked["package-lock.json"] = "{ }"
    assert bench.set_up() == "skipped: deps.txt is unchanged"
    bench.trees.tracked["deps.txt"] = "2"
    assert bench.set_up() == "runs: deps.txt changed"


def test_input_that_cannot_be_read_is_a_doubt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.set_up()

    def unreadable(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("slot_machine.app.setups._text", unreadable)
    bench.trees.tracked["package-lock.json"] = "{ }"
    bench.set_up()
    assert "package.json: Permission denied" in bench.set_up()


def test_packages_are_copied_for_a_tool_that_goes_on_from_them(bench: Bench) -> None:
    bench.config = msgspec.structs.replace(bench.config, setup_command="npm install")
    bench.set_up(tree=1)
    bench.store.save_state(State(Version("b", COMMITS["b"], 3)))
    bench.set_up(tree=3)
    assert f"copied {bench.trees.path(1) / 'node_modules'}" in bench.said
    bench.set_up(tree=2)

    assert f"copied {bench.trees.path(3) / 'node_modules'}" in bench.said, "rather those of the live version"
    assert bench.shell.ran == ["npm install"] * 3
    bench.set_up(tree=2, wish=Wish(forced=True))
    assert not [text for text in bench.said if text.startswith("copied")], "it has them"


def test_packages_that_were_changed_since_their_setup_are_not_copied(bench: Bench) -> None:
    """Yarn takes such a copy for complete."""
    bench.config = msgspec.structs.replace(bench.config, setup_command="yarn")
    bench.set_up(tree=1)
    bench.set_up(tree=2)
    (bench.trees.path(1) / "node_modules/left-pad").rmdir()
    bench.set_up(tree=3)
    assert f"copied {bench.trees.path(2) / 'node_modules'}" in bench.said

    (bench.trees.path(2) / "node_modules/left-pad").rmdir()
    (bench.trees.path(3) / "node_modules").rename(bench.trees.path(3) / "moved")
    bench.set_up(tree=3)

    assert not [text for text in bench.said if text.startswith("copied")]


@pytest.mark.parametrize("command", ["npm ci", "npm install"])
def test_packages_are_not_copied_elsewhere(bench: Bench, command: str) -> None:
    """`npm ci` removes them; and what the commit tracks is its own."""
    bench.config = msgspec.structs.replace(bench.config, setup_command=command)
    if command == "npm install":
        bench.trees.tracked["node_modules/left-pad/index.js"] = "tracked"
    bench.set_up(tree=1)
    bench.set_up(tree=2)

    assert not [text for text in bench.said if text.startswith("copied")]


def test_copy_that_fails_stops_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(installed, "copy", full)
    bench.config = msgspec.structs.replace(bench.config, setup_command="npm install")
    bench.set_up(tree=1)
    assert bench.set_up(tree=2) == UNFINISHED
    assert any("could not copy" in text and "No space left" in text for text in bench.said)
