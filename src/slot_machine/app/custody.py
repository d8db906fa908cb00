"""Keeps files that the app wrote into its tree, before another version gets that tree, and names them."""

import errno
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from slot_machine.app.attempt import RunningAttempt, Warn
from slot_machine.app.release import describe
from slot_machine.app.seams import Trees
from slot_machine.core.errors import SlotMachineError
from slot_machine.core.model import Made, Version
from slot_machine.host.files import databases, kept, mounts, stray_links
from slot_machine.host.files.app_files import AppFiles
from slot_machine.host.files.kept import Kept, in_words
from slot_machine.host.files.reserve import Reserve
from slot_machine.host.process.threads import in_thread
from slot_machine.state.store import Store

log = logging.getLogger(__name__)


class Clearing:
    """Moves files that a checkout of one tree would destroy to `folder`. `moved` are their names."""

    def __init__(self, app_files: AppFiles, tree: Path, folder: Path, reserve: Reserve) -> None:
        self.folder = folder
        self.moved: list[str] = []
        self._app_files = app_files
        self._tree = tree
        self._reserve = reserve

    async def before_checkout(self, commit: str) -> None:
        """Raises OSError, SlotMachineError."""
        await self.move(await self._app_files.overwritten_by(commit))

    async def before_clean(self) -> None:
        """Raises OSError, SlotMachineError."""
        await self.move(await self._app_files.removed_by_clean())

    async def before_removal(self) -> None:
        """Moves all files of the app, or the whole tree if a file may not be moved. Raises OSError."""
        mounts.refuse(mounts.at_or_below(self._tree), f"cannot begin {self._tree} anew")
        try:
            await self.move(await self._app_files.everything())
        except PermissionError:
            await in_thread(lambda: kept.move_tree(self._tree, self.folder))
            self.moved.append(f"{self._tree.name} as a whole")

    async def move(self, names: list[str]) -> None:
        """Raises OSError."""
        if not names:
            return
        try:
            await in_thread(lambda: kept.move(self._tree, names, self.folder, self.moved))
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._reserve.give_up():
                raise
            await self.move(names)


class Custody:
    def __init__(self, worktrees: Trees, store: Store) -> None:
        self._worktrees = worktrees
        self._store = store
        self._kept = Kept(worktrees.data)

    def app_files(self, tree: int) -> AppFiles:
        made, begun_ns = self._store.made(tree), self._store.begun_ns(tree)
        if linked := self._store.assets(tree):
            made = made or Made()
            made = msgspec.structs.replace(made, files=made.files | linked)
        shared = [path.place for path in self._store.shared_paths(tree)]
        return AppFiles(self._worktrees.try_git, self._worktrees.path(tree), made, begun_ns, shared)

    @asynccontextmanager
    async def clearing(self, attempt: RunningAttempt, version: Version) -> AsyncIterator[Clearing]:
        """For the checkout of a version. At the end, warns about what was moved and removes the oldest kept folders."""
        folder = self._kept.new_folder(version.slot)
        path = self._worktrees.path(version.tree)
        clearing = Clearing(self.app_files(version.tree), path, folder, self._store.reserve)
        try:
            yield clearing
        finally:
            if clearing.moved:
                attempt.warn(f"kept in {folder}, as no commit and no setup has it: {in_words(clearing.moved)}")
                await self._prune(attempt, folder)

    async def set_aside(self, attempt: RunningAttempt, version: Version) -> None:
        """Moves what was written into a tree that no slot leads to any more. If it fails, the next checkout does it."""
        try:
            async with self.clearing(attempt, version) as clearing:
                await clearing.move(await self.app_files(version.tree).in_use())
        except (OSError, sqlite3.Error, SlotMachineError) as error:
            path = self._worktrees.path(version.tree)
            attempt.warn(f"cannot keep what was written into {path} yet; the next deploy there tries again: {error}")

    async def tell_of_forks(self, attempt: RunningAttempt, old: Version, new: Version) -> None:
        """Warns about databases that the old version wrote into its tree, where the new one does not find them."""
        folder = self._worktrees.path(old.tree)
        names = await in_thread(lambda: databases.forked(folder, self._worktrees.path(new.tree)))
        if names:
            attempt.warn(
                f"{describe(new)} does not have the databases that {describe(old)} wrote into {folder}:"
                f" {in_words(names)}; name them in shared_dirs or shared_files, or keep them outside of the repository"
            )

    async def tell_of_written(self, warn: Warn, version: Version) -> None:
        """Warns of what the app wrote into its tree, where no other version finds it. Raises nothing."""
        app_files, root = self.app_files(version.tree), version.config.root
        try:
            names = await app_files.written()
            lines = await app_files.lines_to_share(names, root) if names else ""
        except (OSError, SlotMachineError) as error:
            log.warning("cannot look for what the app wrote into %s: %s", self._worktrees.path(version.tree), error)
            return
        if names:
            to_do = f"to keep that for all versions, add {lines}" if lines else "keep that outside of the repository"
            warn(f"the app wrote into the tree of {describe(version)}: {in_words(names)}; {to_do}")

    async def tell_of_stray_links(self, attempt: RunningAttempt, version: Version) -> None:
        """Warns of links that lead into the tree of another version, as some setups make them. Raises OSError."""
        folder = self._worktrees.path(version.tree)
        shared = {path.place for path in self._store.shared_paths(version.tree)}
        found = await in_thread(lambda: stray_links.found(folder))
        if stray := {name: target for name, target in found.items() if name not in shared}:
            named = [f"{name} to {target}" for name, target in stray.items()]
            attempt.warn(f"links of {describe(version)} lead to another version: {in_words(named)}; make them relative")

    async def _prune(self, attempt: RunningAttempt, latest: Path) -> None:
        removed: list[str] = []
        try:
            await in_thread(lambda: self._kept.prune(latest, removed))
        except OSError as error:
            attempt.warn(f"cannot remove what was kept earlier: {error}")
        if removed:
            attempt.warn(f"removed from {self._kept.root}, to keep it small: {', '.join(removed)}")
