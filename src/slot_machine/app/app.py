"""One app of this machine: its state, its trees, its releases and its traffic, put together."""

import asyncio
import logging

from slot_machine.app.custody import Custody
from slot_machine.app.deployer import Deployer
from slot_machine.app.launcher import Launcher
from slot_machine.app.opening import Found, Options
from slot_machine.app.slots import Slots
from slot_machine.app.supervisor import Supervisor
from slot_machine.host.process import containment, session

log = logging.getLogger(__name__)

REAP_INTERVAL_S = 2.0


class App:
    """Its tasks run in `tasks` until `stop` or `let_go`."""

    def __init__(self, options: Options, found: Found, tasks: asyncio.TaskGroup) -> None:
        config, store, worktrees = options.config, found.store, found.worktrees
        self._store = store
        self._tasks = tasks
        self._keeping: list[asyncio.Task[None]] = []
        self.mode = found.mode
        self._launcher = Launcher(config.version, config.daemon, options.folder, options.data, store, self.mode)
        self.supervisor = Supervisor(config.version, self._launcher, self.mode.traffic, tasks)
        slots = Slots(config.version, worktrees, store, self._launcher, Custody(worktrees, store))
        self.deployer = Deployer(
            config.version,
            worktrees,
            slots,
            store,
            self._launcher,
            self.mode,
            self.supervisor,
            tasks,
            spare_tree=config.daemon.spare_tree,
        )

    def start(self) -> "asyncio.Task[None]":
        """After `mode.open`. The task that it returns ends when the live version serves, or is being tried again."""
        logs, reserve = self._launcher.logs, self._store.reserve
        for task in (self.mode.traffic.keep(), keep_orphans(), logs.keep_small(), reserve.keep()):
            self._keeping.append(self._tasks.create_task(task))
        return self.deployer.recover()

    async def stop(self) -> None:
        """Drains and stops the live version. Then no process of the app or of its traffic is left."""
        await self.mode.close()
        await self.deployer.stop()
        await self.mode.stop()
        self._end_tasks()

    async def let_go(self) -> None:
        """Leaves all processes to the next daemon."""
        await self.deployer.let_go()
        await self.mode.let_go()
        self._end_tasks()

    def _end_tasks(self) -> None:
        for task in self._keeping:
            task.cancel()


async def keep_orphans() -> None:
    """Reaps orphans that have ended. Runs until cancelled."""
    reaper = containment.OrphanReaper()
    while True:
        await asyncio.sleep(REAP_INTERVAL_S)
        try:
            reaper.reap(session.leaders())
        except OSError as error:
            log.error("cannot look for children that have ended: %s", error)
