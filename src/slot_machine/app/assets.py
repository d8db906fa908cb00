"""Lets a version serve the assets of other versions that visitors had, for pages that were loaded before a switch."""

import os
import sqlite3
from pathlib import Path

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.release import describe
from slot_machine.app.seams import Trees
from slot_machine.core.model import Made, Version
from slot_machine.host.files import assets
from slot_machine.host.files.assets import Links, Pool, State
from slot_machine.host.process.threads import in_thread
from slot_machine.state.store import Store


class Assets:
    def __init__(self, worktrees: Trees, store: Store) -> None:
        self._worktrees = worktrees
        self._store = store
        self._pool = Pool(worktrees.data)

    async def clear(self, version: Version) -> None:
        """Before a checkout: removes the assets of other versions from the tree, whether linked or left by a build.

        A build that wrote into a link would change it everywhere. Raises OSError, sqlite3.Error.
        """
        tree, links = self._worktrees.path(version.tree), self._store.assets(version.tree)
        folder, dirs = self._folder(version), version.config.asset_dirs
        if links:
            await in_thread(lambda: assets.remove(tree, links, {}))
            await in_thread(lambda: assets.remove_empty_folders(tree, links))
            self._store.save_assets(version.tree, {})
        if dirs and version.config.asset_keep and self._pool.root.exists():
            made = self._store.made(version.tree) or Made()
            await in_thread(lambda: self._pool.forget(folder, dirs, _in_folder(tree, folder, made.files)))

    async def link(self, attempt: RunningAttempt, version: Version, other: Version | None) -> None:
        """Links what a version is to serve of others: before it starts, or before visitors get `other` in its place.

        `other` is the one from which visitors may come. A failure is a warning.
        """
        try:
            if other and other != version and version.config.asset_dirs and version.config.asset_keep:
                await self._collect(other)
            await self._link(version)
        except (OSError, sqlite3.Error) as error:
            attempt.warn(f"{describe(version)} does not serve all assets of other versions: {error}")

    async def prune(self, attempt: RunningAttempt, live: Version) -> None:
        """After a switch, removes copies that no version links any more. A failure is a warning."""
        try:
            if self._pool.root.exists():
                await in_thread(lambda: self._pool.prune(live.commit, live.config.asset_keep))
        except OSError as error:
            attempt.warn(f"cannot remove assets of earlier versions from {self._pool.root}: {error}")

    async def _collect(self, version: Version) -> None:
        tree, folder, dirs = self._worktrees.path(version.tree), self._folder(version), version.config.asset_dirs
        links = self._store.assets(version.tree)

        def collected() -> None:
            self._pool.collect(version.commit, folder, dirs, _in_folder(tree, folder, links))

        if dirs:
            await in_thread(collected)

    async def _link(self, version: Version) -> None:
        tree, folder, config = self._worktrees.path(version.tree), self._folder(version), version.config
        present = self._store.assets(version.tree)
        if not config.asset_dirs and not present:
            return
        wanted = await in_thread(lambda: self._pool.wanted(version.commit, config.asset_dirs, config.asset_keep))
        links, lacking = await in_thread(lambda: assets.planned(tree, folder, wanted, present))
        if not lacking and links == present:
            return
        # Saved first: a daemon that is killed in between must not leave links that nobody knows.
        self._store.save_assets(version.tree, links | present)

        def linked() -> None:
            assets.remove(tree, present, links)
            assets.link(lacking)

        await in_thread(linked)
        self._store.save_assets(version.tree, links)

    def _folder(self, version: Version) -> Path:
        return self._worktrees.path(version.tree) / version.config.root


def _in_folder(tree: Path, folder: Path, files: Links) -> dict[str, State]:
    """Those of a tree's files that are in the folder, by their names in there."""
    paths = {tree / os.fsdecode(name): its for name, its in files.items()}
    return {str(path.relative_to(folder)): its for path, its in paths.items() if path.is_relative_to(folder)}
