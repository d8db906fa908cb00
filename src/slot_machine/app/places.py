"""The places in the trees where shared data belongs: what is there, and the links."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path

from slot_machine.app.seams import Trees
from slot_machine.core.model import Contents, Version
from slot_machine.core.shared_paths import SharedPath
from slot_machine.host.files import moving, shared
from slot_machine.host.files.shared import Found, Shared
from slot_machine.host.git.listing import Listing
from slot_machine.host.process.threads import Result, in_thread
from slot_machine.state.store import Store


class Places:
    """Each call may raise OSError."""

    def __init__(self, worktrees: Trees, store: Store) -> None:
        self.shared = Shared(worktrees.data)
        self.waiting: dict[int, list[SharedPath]] = {}
        """By tree: what is moved when the live version has stopped. Meanwhile the tree has links to the live tree."""
        self._worktrees = worktrees
        self._store = store

    def live_beside(self, version: Version) -> Version | None:
        """The live version, unless this one is prepared in its tree."""
        live = self._store.state().live
        return live if live and live.tree != version.tree else None

    def tree(self, version: Version) -> Path:
        return self._worktrees.path(version.tree)

    def of(self, version: Version) -> tuple[SharedPath, ...]:
        return self._store.shared_paths(version.tree)

    def waits(self, version: Version, path: SharedPath) -> bool:
        return path in self.waiting.get(version.tree, ())

    def data(self, version: Version, path: SharedPath) -> Path:
        """Where the data is now."""
        live = self.live_beside(version)
        return self.tree(live) / path.place if live and self.waits(version, path) else self.shared.target(path)

    async def has(self, path: SharedPath) -> bool:
        return await self.do(lambda: self.shared.has(path))

    async def found(self, version: Version, path: SharedPath) -> Found:
        tree = self.tree(version)
        return await self.do(lambda: shared.found(tree, path))

    async def replaced(self, version: Version) -> list[str]:
        """The places where something else lies than the link."""
        tree, paths = self.tree(version), self.of(version)
        return await self.do(lambda: shared.replaced(tree, paths)) if paths else []

    async def link(self, version: Version, path: SharedPath) -> None:
        tree, data = self.tree(version), self.data(version, path)
        await self.do(lambda: shared.link(tree, path, data))

    async def tracked(self, version: Version, path: SharedPath) -> list[str]:
        """The commit's files at or below a place. Raises CannotList."""
        return await Listing(self._worktrees.try_git, self.tree(version)).tracked_below(path.place)

    async def hide(self, version: Version, tracked: Sequence[str]) -> None:
        """From `git status` in the tree. Raises GitFailed."""
        if tracked:
            await self._worktrees.hide(version.tree, tracked)

    async def move(self, version: Version, path: SharedPath) -> None:
        """From a tree to `shared`, so that neither git nor a later look for edits notices.

        Raises InUse, OSError, GitFailed, CannotList.
        """
        tree, number, known = self.tree(version), version.tree, self.of(version)
        tracked, contents = await self.tracked(version, path), self._store.contents(number)
        intact = contents and contents.fingerprint == await self._fingerprint(number)
        self._store.save_shared_paths(number, [*(each for each in known if each != path), path])
        try:
            await self.do(lambda: moving.hand_over(tree, path, self.shared))
        except OSError:
            self._store.save_shared_paths(number, known)
            raise
        await self.hide(version, tracked)
        if contents and intact:
            self._store.save_contents(number, Contents(contents.commit, await self._fingerprint(number) or ""))

    async def do(self, work: Callable[[], Result]) -> Result:
        """In a thread. A full disk costs the reserve."""
        try:
            return await in_thread(work)
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._store.reserve.give_up():
                raise
            return await in_thread(work)

    async def _fingerprint(self, tree: int) -> str | None:
        return await self._worktrees.fingerprint(tree, [path.place for path in self._store.shared_paths(tree)])
