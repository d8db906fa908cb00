"""An app with data on real files and in real git, whose versions are prepared and made live without any process."""

import asyncio
import itertools
from pathlib import Path
from typing import TypeVar

import msgspec

from slot_machine.app.attempt import RunningAttempt, now
from slot_machine.app.custody import Custody
from slot_machine.app.slots import Slots
from slot_machine.app.stage_commands import StageCommands
from slot_machine.core.config import VersionConfig
from slot_machine.core.model import Attempt, Version
from slot_machine.core.phases import Event
from slot_machine.host.process.commands import run_shell
from tests.fakes import Database, Faults, Launcher
from tests.repository import Repository

T = TypeVar("T")


class Shop:
    def __init__(self, folder: Path) -> None:
        self.repository = Repository(folder)
        self.data = folder / "data"
        self.shared = self.data / "shared"
        self.faults = Faults()
        self.store = Database(self.faults, self.data / "state.db")
        self.worktrees = self.repository.worktrees
        self.custody = Custody(self.worktrees, self.store)
        self.slots = self.another_daemon()
        self._numbers = itertools.count(1)

    def another_daemon(self) -> Slots:
        commands = StageCommands(self.store, Launcher(self.faults, self.store, self.data), "", run_shell)
        self.slots = Slots(self.worktrees, self.store, commands, self.custody)
        return self.slots

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

    def close(self) -> None:
        self.store.close()
