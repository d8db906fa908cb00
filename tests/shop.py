"""An app with data on real files and in real git, whose versions are prepared and made live without any process."""

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from spec.orchestrator import environment

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.clock import now
from slot_machine.app.custody import Custody
from slot_machine.app.setups import Setups
from slot_machine.app.slots import Slots
from slot_machine.app.stage_commands import StageCommands
from slot_machine.core.errors import SlotMachineError
from slot_machine.core.model import Attempt, Version
from slot_machine.core.phases import Event
from slot_machine.core.version_config import VersionConfig
from slot_machine.host.process.commands import run_shell
from slot_machine.state.soundness import open_sound
from slot_machine.state.store import Store
from tests.fakes import Faults, Launcher, no_facts
from tests.repository import Repository

HOLD = """
import sys
file = open(sys.argv[1], "rb")
print("open", flush=True)
sys.stdin.read()
"""


class Shop:
    def __init__(self, folder: Path) -> None:
        self.repository = Repository(folder)
        self.data = folder / "data"
        self.shared = self.data / "shared"
        self.worktrees = self.repository.worktrees
        self.store = self._open()
        self._numbers = itertools.count(1)

    def _open(self) -> Store:
        store = open_sound(self.data / "state.db")
        launcher, self.custody = Launcher(Faults(), store, self.data), Custody(self.worktrees, store)
        commands = StageCommands(store, launcher, self.data, run_shell)
        setups = Setups(self.worktrees, store, launcher, commands, no_facts)
        self.slots = Slots(self.worktrees, store, commands, setups, self.custody)
        return store

    def in_another_daemon(self, work: Callable[[], object]) -> int:
        """Runs it in a process of its own, and goes on as the daemon after that. Returns how it ended."""
        self.store.close()
        pid = os.fork()
        if not pid:
            try:
                self.store = self._open()
                work()
                os._exit(0)
            except SlotMachineError:
                os._exit(1)
            finally:
                os._exit(2)
        _, status = os.waitpid(pid, 0)
        self.store = self._open()
        return os.waitstatus_to_exitcode(status)

    def prepare(self, files: dict[str, str], **config: object) -> tuple[Version, tuple[str, ...]]:
        """Commits the files and prepares that version. Returns it, with the warnings."""
        commit = self.repository.commit({"number": str(next(self._numbers))} | files)
        state = self.store.state()
        settings = msgspec.convert({"start_command": "app"} | config, VersionConfig)
        version = Version(state.idle_slot, commit, state.spare_tree, settings)
        attempt = self.attempt()
        asyncio.run(self.slots.prepare(attempt, version))
        return version, attempt.warnings

    def deploy(self, files: dict[str, str], **config: object) -> tuple[str, ...]:
        """Returns the warnings."""
        before = self.store.state()
        version, warnings = self.prepare(files, **config)
        return warnings + self._promote(version, before.live)

    def rollback(self) -> tuple[str, ...]:
        state, attempt = self.store.state(), self.attempt()
        assert state.previous
        version = state.previous
        if not asyncio.run(self.slots.untouched(attempt, version)):
            version = version.moved(version.slot, state.spare_tree)
            asyncio.run(self.slots.prepare(attempt, version, again=True))
        return attempt.warnings + self._promote(version, state.live)

    def _promote(self, version: Version, live: Version | None) -> tuple[str, ...]:
        before, attempt = self.store.state(), self.attempt()
        if live and version.config.strategy == "replace":
            asyncio.run(self.slots.old_stopped(attempt, version))
        self.store.save_state(before.promoted(version, now()))
        self.slots.link()
        asyncio.run(self.slots.left(attempt, before))
        return attempt.warnings

    def attempt(self) -> RunningAttempt:
        record = Attempt(id=0, kind="deploy", trigger="api", started_at="then")
        attempt = RunningAttempt(record, self.store, lambda _: None)
        attempt.on(Event.DEPLOY)
        attempt.on(Event.RESOLVED)
        return attempt

    def live(self, name: str = "") -> Path:
        """A path in the live version's tree."""
        version = self.store.state().live
        assert version
        return self.worktrees.path(version.tree) / name

    def write(self, name: str, text: str) -> None:
        """As the live app does."""
        self.live(name).parent.mkdir(parents=True, exist_ok=True)
        self.live(name).write_text(text)

    def kept(self) -> dict[str, str]:
        """Contents by name, without the folder of the occasion."""
        root = self.data / "kept"
        files = [path for path in root.rglob("*") if path.is_file()]
        return {str(Path(*path.relative_to(root).parts[1:])): path.read_text() for path in files}

    def status(self, tree: Path) -> str:
        return self.run_git("-C", str(tree), "status", "--porcelain", "--untracked-files=no")

    def run_git(self, *args: str) -> str:
        return self.repository.git(*args)


@contextmanager
def opened(path: Path) -> Iterator[None]:
    """Another process has it open."""
    argv = [sys.executable, "-IS", "-c", HOLD, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"open\n"
        yield
        process.stdin.close()


def same_everywhere(shop: Shop, name: str) -> bool:
    """Whether the path leads to the shared data through all its names."""
    state = shop.store.state()
    assert state.live
    ways = (shop.data / "live", shop.data / f"slot-{state.live.slot}", shop.live())
    return {(way / name).resolve() for way in ways} == {(shop.shared / name).resolve()}
