"""Opens what an app needs: its database, its repository, and workers that an earlier daemon left running."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from slot_machine.app import deliveries, leftovers
from slot_machine.core.config import Config
from slot_machine.core.daemon_config import FIXED
from slot_machine.core.errors import GitFailed, StartRefused
from slot_machine.host.git.worktrees import Worktrees
from slot_machine.state.rebuild import rebuild
from slot_machine.state.soundness import open_sound
from slot_machine.state.store import Store
from slot_machine.traffic.mode import Mode
from slot_machine.traffic.modes import mode_of
from slot_machine.traffic.worker import Left, left_running

DATABASE = "state.db"

log = logging.getLogger(__name__)


class Options(NamedTuple):
    """What the file and the command line say. `as_read` is what the file alone says.

    `env_file` is relative to the folder of `config_file`, which is an absolute path without symlinks.
    """

    config: Config
    as_read: Config
    config_file: Path
    repo: Path
    data: Path
    proxy: bool
    rebuild_state: bool

    @property
    def fixed(self) -> dict[str, object]:
        """What a reload can't change."""
        daemon = self.config.daemon
        resolved = {
            "repo": str(self.repo),
            "data": str(self.data),
            "user": daemon.user_name,
            "group": daemon.group_name,
        }
        return {name: getattr(daemon, name) for name in FIXED} | resolved


class Found(NamedTuple):
    """`left` are workers of the data plane that an earlier daemon left running.

    `config_path` is the path of the daemon's file in the repository; empty if it lies outside.
    """

    store: Store
    worktrees: Worktrees
    left: Sequence[Left]
    mode: Mode
    config_path: str


async def opened(options: Options, stack: ExitStack, *, rebuild_state: bool) -> Found:
    """Ends what an earlier daemon left and nobody takes over. The database stays open until `stack` is left.

    Raises StartRefused.
    """
    worktrees = await _worktrees(options)
    if rebuild_state:
        await rebuild(options.data / DATABASE, worktrees)
    store = open_sound(options.data / DATABASE)
    stack.callback(store.close)
    store.take_room()
    store.fill_configs(options.config.version)
    await worktrees.adopt_slots()
    left = left_running(options.data)
    mode = mode_of(options.config.daemon, options.config_file.parent, options.data, proxy=options.proxy)
    await leftovers.end(store, options.data, left, mode)
    store.interrupt_unfinished()
    config_path = await worktrees.path_in_repository(options.config_file)
    await _warn_of_notify(options, worktrees, config_path)
    return Found(store, worktrees, left, mode, config_path)


async def _warn_of_notify(options: Options, worktrees: Worktrees, config_path: str) -> None:
    addresses = options.config.daemon.notify
    if any(map(deliveries.needs_apprise, addresses)):
        log.warning("notify: Apprise is not installed, so only http and https work: install slot-machine[notify]")
    if config_path and any(map(deliveries.has_secret, addresses)) and await worktrees.is_tracked(config_path):
        words = "%s is in git, and notify in it has a secret: put it into env_file, and write $NAME in its place"
        log.warning(words, config_path)


async def check(options: Options) -> None:
    """Whether `opened` would find what it needs. Raises StartRefused."""
    await _worktrees(options)
    open_sound(options.data / DATABASE).close()


async def _worktrees(options: Options) -> Worktrees:
    worktrees = Worktrees(options.repo, options.data)
    try:
        await worktrees.check_repository()
        await worktrees.check_writable()
    except GitFailed as error:
        hint = error.hint or "start in the app's repository, or name it with --repo"
        raise StartRefused(f"cannot use {options.repo} as the app's repository: {error}", hint) from None
    return worktrees
