"""The data that all versions share: moved out of the trees once, and linked into each tree before its setup."""

import errno
from collections.abc import Sequence

from slot_machine.app.attempt import RunningAttempt, Warn
from slot_machine.app.custody import Custody
from slot_machine.app.places import Places
from slot_machine.app.release import describe
from slot_machine.app.seams import Trees
from slot_machine.app.seeding import Seeding
from slot_machine.core import shared_paths
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from slot_machine.core.shared_paths import SharedPath
from slot_machine.host.files import shared
from slot_machine.host.files.kept import in_words
from slot_machine.host.files.moving import InUse
from slot_machine.state.store import Store

REPLACED = "is no link any more, so other versions do not find it: share a folder, in which the app can replace files"


class SharedData:
    def __init__(self, worktrees: Trees, store: Store, custody: Custody) -> None:
        self._store = store
        self._places = Places(worktrees, store)
        self._seeding = Seeding(self._places, custody)

    def former(self, version: Version) -> Sequence[SharedPath]:
        """The links that a version has in the tree in which it is live, or ready for a rollback."""
        state = self._store.state()
        known = (known for known in (state.live, state.previous) if known)
        same = (each for each in known if (each.slot, each.commit) == (version.slot, version.commit))
        return next(map(self._places.of, same), ())

    async def take_away(self, attempt: RunningAttempt, version: Version) -> None:
        """Before a checkout, so that git finds no link that leads out of the tree. Raises OSError."""
        tree, paths = self._places.tree(version), self._places.of(version)
        if paths:
            await self._seeding.keep(attempt, version, await self._places.replaced(version), REPLACED)
            await self._places.do(lambda: shared.unlink_all(tree, paths))

    async def provide(self, attempt: RunningAttempt, version: Version, former: Sequence[SharedPath] = ()) -> None:
        """After the checkout. `former`: the links of a version that is prepared again. Raises StageFailed."""
        self._places.shared.make()
        paths = shared_paths.with_former(shared_paths.of(version.config), former)
        self._tell_of_dropped(attempt, version, paths)
        self._places.waiting.pop(version.tree, None)
        if paths or self._places.of(version):
            self._store.save_shared_paths(version.tree, former)
        for path in paths:
            await self._provide(attempt, version, path)

    async def complete(self, attempt: RunningAttempt, version: Version) -> None:
        """After the setup: moves a file that it made where there was none, and mends the links. Raises StageFailed."""
        for path in self._places.of(version):
            try:
                await self._take_in(version, path)
            except OSError as error:
                raise _failed(attempt, path, error) from error
        await self.mend(attempt, version)

    async def release(self, attempt: RunningAttempt, version: Version) -> None:
        """Moves what waited until the live version has stopped. Raises StageFailed."""
        live = self._places.live_beside(version)
        for path in self._places.waiting.pop(version.tree, []) if live else []:
            assert live
            try:
                await self._places.move(live, path)
                await self._places.link(version, path)
            except OSError as error:
                hint = "end that process, then deploy again" if isinstance(error, InUse) else ""
                raise _failed(attempt, path, error, hint) from error

    async def mend(self, attempt: RunningAttempt, version: Version, *, is_live: bool = False) -> None:
        """Before a tree is used: sets the links that are missing.

        What lies in place of a link is kept. But the live version goes on with it, as it may be newer. Raises OSError.
        """
        for path in self._places.of(version) if not is_live else ():
            await self._take_in(version, path)
        replaced = await self._places.replaced(version)
        if is_live:
            _tell_of_replaced(attempt.warn, version, replaced)
        else:
            await self._seeding.keep(attempt, version, replaced, REPLACED)
        for path in self._places.of(version):
            if not (is_live and path.place in replaced):
                await self._places.link(version, path)

    async def _take_in(self, version: Version, path: SharedPath) -> None:
        """Moves what a tree has in place of a link to `shared`, if nothing is there: it is the only data."""
        if await self._places.found(version, path) == "other" and not await self._places.has(path):
            await self._places.move(version, path)

    async def check(self, warn: Warn, version: Version) -> None:
        """While a version runs: warns where its app does not use the shared data. Raises OSError."""
        _tell_of_replaced(warn, version, await self._places.replaced(version))
        tree, paths = self._places.tree(version), self._places.of(version)
        beside = await self._places.do(lambda: shared.companions(tree, paths)) if paths else []
        if beside:
            why = "its app does not follow the link of a database, so share the folder"
            warn(f"{describe(version)} has {in_words(beside)} beside a link: {why}")

    async def _provide(self, attempt: RunningAttempt, version: Version, path: SharedPath) -> None:
        before = self._places.of(version)
        self._store.save_shared_paths(version.tree, shared_paths.with_former([path], before))
        try:
            await self._seeding.share(attempt, version, path)
        except BaseException as error:
            self._store.save_shared_paths(version.tree, before)
            if isinstance(error, OSError):
                raise _failed(attempt, path, error, self._hint(path, error)) from error
            raise

    def _hint(self, path: SharedPath, error: OSError) -> str:
        by_hand = f"stop the daemon, move it to {self._places.shared.target(path)}, and leave a symlink to it"
        if isinstance(error, InUse):
            once = 'deploy once with "strategy": "replace" (not with --no-proxy), which moves it while no version runs'
            return f"{once}; or {by_hand}; its -wal, -shm and -journal files go with it"
        return by_hand if error.errno in (errno.EXDEV, errno.EOPNOTSUPP, errno.EBUSY) else ""

    def _tell_of_dropped(self, attempt: RunningAttempt, version: Version, paths: Sequence[SharedPath]) -> None:
        live, places = self._places.live_beside(version), {path.place for path in paths}
        for path in self._places.of(live) if live else ():
            if path.place not in places:
                where = self._places.shared.target(path)
                attempt.warn(
                    f"{path.place} is not shared any more: {describe(version)} has what its commit has there."
                    f" The data stays in {where}"
                )


def _tell_of_replaced(warn: Warn, version: Version, replaced: Sequence[str]) -> None:
    for place in replaced:
        warn(f"{place} of {describe(version)} {REPLACED}")


def _failed(attempt: RunningAttempt, path: SharedPath, error: OSError, hint: str = "") -> StageFailed:
    where = f": {error.filename}" if error.filename else ""
    return StageFailed(attempt.phase.stage, f"cannot share {path.place}: {error.strerror or error}{where}", hint=hint)
