"""What the trees hold: each one a commit that was checked out and set up, or nothing that can be started."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from slot_machine.app.assets import Assets
from slot_machine.app.attempt import RunningAttempt, Warn
from slot_machine.app.custody import Custody
from slot_machine.app.occupancy import Occupancy
from slot_machine.app.release import describe
from slot_machine.app.seams import Trees
from slot_machine.app.setups import Setups, Wish
from slot_machine.app.shared import SharedData
from slot_machine.app.stage_commands import Command, StageCommands, build_of
from slot_machine.core.errors import GitFailed, StageFailed
from slot_machine.core.model import Contents, Made, State, Version, short
from slot_machine.core.phases import Event, Phase
from slot_machine.host.files import links, reclaim, shared
from slot_machine.host.files.kept import in_words
from slot_machine.host.files.removal import remove_tree
from slot_machine.host.git import trees
from slot_machine.host.process.containment import owner
from slot_machine.host.process.threads import in_thread
from slot_machine.state.store import Store

log = logging.getLogger(__name__)

MOST_NAMED = 3
CHECK_INTERVAL_S = 5.0
WITHOUT_LFS = "install git-lfs, and run `git lfs install` as the user whose git it is"


async def nothing() -> None:
    pass


class Slots:
    def __init__(
        self, worktrees: Trees, store: Store, commands: StageCommands, setups: Setups, custody: Custody
    ) -> None:
        self._worktrees = worktrees
        self._store = store
        self._commands = commands
        self._setups = setups
        self._custody = custody
        self._shared = SharedData(worktrees, store, custody)
        self.occupancy = Occupancy()
        self.assets = Assets(worktrees, store)
        self.on_link: Callable[[], None] = lambda: None
        """Called when the links follow the state, which may have changed."""
        self.followed: Callable[[], Awaitable[None]] = nothing
        """Waits until what else follows the state does so. Raises GitFailed, OSError, sqlite3.Error."""
        self._linked = True

    def holds(self, version: Version) -> bool:
        """Whether its tree was prepared for it, and not for another version since."""
        contents = self._store.contents(version.tree)
        return contents is not None and contents.commit == version.commit and not self._misplaced(version)

    def folder(self, version: Version) -> Path:
        """In which all commands of the version run."""
        return self._worktrees.path(version.tree) / version.config.root

    def _misplaced(self, version: Version) -> bool:
        """Whether the tree was set up under the name of the other slot, which leads to another tree now."""
        own = trees.TREE_OF_SLOT[version.slot] == version.tree
        return not own and trees.made_as_slot(self._worktrees.path(version.tree))

    async def checked_out(self, version: Version) -> bool:
        """Whether its tree holds it, and git finds its commit there."""
        return self.holds(version) and await self._worktrees.head(version.tree) == version.commit

    async def untouched(self, attempt: RunningAttempt, version: Version) -> bool:
        """Whether each tracked file is as the setup left it, or differs only because the app keeps data in it.

        If the repository is broken, so that git can't tell, the answer is yes. Raises GitFailed.
        """
        if not self.holds(version):
            return False
        try:
            await self._shared.mend(attempt, version)
        except OSError as error:
            attempt.warn(f"{describe(version)} can't use the shared data as it stands ({error}): prepared again")
            return False
        checked_out, contents = await self.checked_out(version), self._store.contents(version.tree)
        if checked_out and contents and await self._fingerprint(version) == contents.fingerprint:
            return True
        try:
            await self._worktrees.check_repository()
        except GitFailed as error:
            attempt.warn(f"{describe(version)} is started as it stands, as git can't tell of edits: {error}")
            return True
        app_files = self._custody.app_files(version.tree)
        edits = await app_files.edits()
        if checked_out and not edits and await app_files.data_changed():
            return True
        attempt.warn(f"{describe(version)} was edited ({in_words(edits) or 'it is not clear where'}): prepared again")
        return False

    async def prepare(
        self, attempt: RunningAttempt, version: Version, *, again: bool = False, force_setup: bool = False
    ) -> None:
        """Checks the version out into its tree, runs the setup and the build there. `again`: it was live before.

        Raises GitFailed, StageFailed.
        """
        self.check_free(version.tree)
        former = self._shared.former(version) if again else ()
        is_retry = self._store.begun_ns(version.tree) > 0
        await self._check_out(attempt, version)
        await self._shared.provide(attempt, version, former)
        app_files = self._custody.app_files(version.tree)
        config = version.config
        writes = config.setup_command or config.build_command
        if writes:
            await app_files.before_setup()
        made = self._store.made(version.tree) or Made()
        self._store.save_made(version.tree, Made(made.files, unfinished=True))
        attempt.on(Event.CHECKED_OUT, config.setup_command or "nothing to do")
        wish = Wish(forced=force_setup, is_retry=is_retry)
        has_built = await self._setups.run(attempt, version, self.folder(version), app_files, wish)
        if config.build_command:
            attempt.on(Event.SET_UP, config.build_command)
            await self.run(attempt, version, build_of(config))
        if has_built or config.build_command:
            self._setups.remember_build(version)
        await self._check_lfs(attempt, version)
        await self._shared.complete(attempt, version)
        await self._custody.tell_of_stray_links(attempt, version)
        fingerprint = await self._fingerprint(version)
        made = await app_files.of_setup() if writes else Made()
        self._store.save_made(version.tree, Made(made.files, ready_ns=time.time_ns()))
        self._store.save_contents(version.tree, Contents(version.commit, fingerprint or ""))

    async def _check_out(self, attempt: RunningAttempt, version: Version) -> None:
        """Takes away what is linked into the tree, and keeps what the app wrote. Raises GitFailed, StageFailed."""
        previous = self._store.state().previous
        if previous:
            await self._worktrees.protect("previous", previous.commit)
        await self._worktrees.protect("next", version.commit)
        self.check_free(version.tree)
        self._store.begin_tree(version.tree, reclaim.begin(self._worktrees.path(version.tree)))
        await self.assets.clear(version)
        self.link()
        await self._custody.tell_of_written(attempt.warn, version)
        await self._shared.take_away(attempt, version)
        async with self._custody.clearing(attempt, version) as clearing:
            await self._worktrees.checkout(version.tree, version.commit, clearing)
        self._check_root(version)

    async def run(self, attempt: RunningAttempt, version: Version, command: Command) -> None:
        """Runs a command in the version's tree. Raises StageFailed; then nothing of the command runs."""
        await self._commands.run(attempt, version, self.folder(version), command)

    def shared_in_words(self, version: Version) -> dict[str, str]:
        """For the status: `linked`, `missing` or `replaced` by path of shared data."""
        return shared.in_words(self._worktrees.path(version.tree), self._store.shared_paths(version.tree))

    async def mend(self, attempt: RunningAttempt, version: Version) -> None:
        """Before the live version is started again: sets missing links to shared data. Raises nothing."""
        try:
            await self._shared.mend(attempt, version, is_live=True)
        except OSError as error:
            attempt.warn(f"{describe(version)} is started without all links to shared data: {error}")

    async def old_stopped(self, attempt: RunningAttempt, version: Version) -> None:
        """Before a version starts in place of the live one. Raises StageFailed."""
        await self._shared.release(attempt, version)

    def check_free(self, tree: int) -> None:
        """Raises StageFailed if something runs in the tree, which must not be overwritten then."""
        if running := self.occupancy.of(tree):
            what = f"{trees.name(tree)} can't be overwritten, as this still runs in it: {', '.join(running)}"
            raise StageFailed(Phase.CHECKOUT, what, hint="wait until it has ended; `slot-machine status` tells")

    async def check_holds(self, live: Version) -> None:
        """Raises StageFailed if the tree of the live version does not have it any more, as far as git can tell."""
        what = ""
        if not self.holds(live):
            what = f"{trees.name(live.tree)} does not hold {describe(live)} any more"
        elif (head := await self._worktrees.head(live.tree)) not in ("", live.commit):
            what = f"somebody has checked out {short(head)} in {trees.name(live.tree)}, the tree of {describe(live)}"
        if what:
            hint = "`slot-machine deploy --force` prepares another tree"
            raise StageFailed(Phase.START, f"{what}, so it can't be started again", hint=hint)

    async def started(self, warn: Warn, version: Version) -> None:
        """After a start: warns of data that the app has in its tree alone. Raises OSError."""
        await self._shared.check(warn, version)
        await self._custody.tell_of_written(warn, version)

    def warn_of_build(self, attempt: RunningAttempt, version: Version) -> None:
        """For a version that is started without a build. Raises StageFailed."""
        self._setups.warn_of_build(attempt, version)

    async def left(self, attempt: RunningAttempt, before: State) -> None:
        """After a switch, keeps what the app wrote into a tree that no slot leads to any more.

        Warns of data that is not shared, and of databases that the new version does not find.
        """
        after = self._store.state()
        for version in dict.fromkeys(filter(None, (after.live, before.live))):
            await self.started(attempt.warn, version)
        in_use = {version.tree for version in (after.live, after.previous) if version}
        for version in filter(None, (before.live, before.previous)):
            # What still runs in a tree finds its files there. They are kept when the tree is used again.
            if version.tree not in in_use and not self.occupancy.of(version.tree):
                await self._custody.set_aside(attempt, version)
        if after.live:
            await self.assets.prune(attempt, after.live)
        if before.live and after.live and before.live != after.live:
            await self._custody.tell_of_forks(attempt, before.live, after.live)

    def link(self) -> None:
        """Sets the symlinks, which are for people, and the file that names the live slot. Raises nothing."""
        self.on_link()
        data = self._worktrees.data
        try:
            state = self._store.state()
            previous = state.previous
            trees.link_slots(data, state)
            trees.tell_live(data, state)
            links.point(data / "live", f"slot-{state.live.slot}" if state.live else None)
            links.point(data / "previous", f"slot-{previous.slot}" if previous and self.holds(previous) else None)
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, OSError) and self._store.reserve.give_up():
                self.link()
                return
            if self._linked:
                log.error("cannot write the symlinks of the slots, live and previous, trying again: %s", error)
            self._linked = False
        else:
            self._linked = True

    async def keep_linked(self) -> None:
        """Sets again what `link` could not set: an app asks for the live slot at any time. Runs until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            if not self._linked:
                self.link()

    async def take_back(self, attempt: RunningAttempt, tree: int) -> None:
        """Removes what failed deploys wrote into a tree since a version in it was live. Raises nothing."""
        begun_ns, previous = self._store.begun_ns(tree), self._store.state().previous
        if not begun_ns or self.occupancy.of(tree) or (previous and previous.tree == tree and self.holds(previous)):
            return
        path = self._worktrees.path(tree)
        try:
            self._store.save_contents(tree, None)
            self._store.save_setup(tree, None)
            await in_thread(lambda: reclaim.reclaim(path, begun_ns))
            self._store.save_size(tree, await self._worktrees.measure(tree))
        except (OSError, sqlite3.Error) as error:
            attempt.warn(f"cannot remove what a failed deploy wrote into {path}: {error}")
        else:
            attempt.warn(f"the disk is full: removed what a failed deploy had written into {path}")

    async def discard(self, attempt: RunningAttempt, tree: int) -> None:
        """Removes a tree that no slot leads to; what the app wrote there is kept. Raises OSError, sqlite3.Error."""
        path = self._worktrees.path(tree)
        if not path.exists():
            return
        self._store.save_contents(tree, None)
        self._store.save_setup(tree, None)
        version = Version(self._store.state().idle_slot, "", tree)
        await self._shared.take_away(attempt, version)
        async with self._custody.clearing(attempt, version) as clearing:
            await clearing.before_removal()
        await remove_tree(path, owner(self._worktrees.data))
        self._store.save_size(tree, None)
        self._store.save_assets(tree, {})

    def _check_root(self, version: Version) -> None:
        """Raises StageFailed."""
        tree, folder = self._worktrees.path(version.tree), self.folder(version)
        if version.config.root and not (folder.is_dir() and folder.resolve().is_relative_to(tree.resolve())):
            what = f"root: {version.config.root!r} is not a folder in commit {short(version.commit)}"
            raise StageFailed(Phase.CHECKOUT, what, hint="name the app's folder from the repository's top")

    async def _check_lfs(self, attempt: RunningAttempt, version: Version) -> None:
        """After the setup, which may have fetched them. Raises StageFailed, GitFailed."""
        if names := await self._worktrees.lfs_pointers(version.tree):
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            what = f"only the pointers of Git LFS are there, not the files: {', '.join(names[:MOST_NAMED])}{more}"
            raise StageFailed(attempt.phase.stage, what, hint=f"{WITHOUT_LFS}; docs/git.md tells more")

    async def _fingerprint(self, version: Version) -> str | None:
        shared = [path.place for path in self._store.shared_paths(version.tree)]
        return await self._worktrees.fingerprint(version.tree, shared)
