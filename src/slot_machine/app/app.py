"""One app of this machine, wired: its state, its trees, its running versions, and how visitors reach them."""

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence

from slot_machine.app.custody import Custody
from slot_machine.app.deployer import Deployer
from slot_machine.app.opening import Options
from slot_machine.app.release import Launcher
from slot_machine.app.slots import Slots
from slot_machine.app.supervisor import Supervisor
from slot_machine.host.git.worktrees import Worktrees
from slot_machine.host.process import containment, session
from slot_machine.state.store import Store
from slot_machine.traffic import listening
from slot_machine.traffic.dataplane import DataPlane, Left
from slot_machine.traffic.handover import Handover
from slot_machine.traffic.protocol import Traffic

log = logging.getLogger(__name__)

REAP_INTERVAL_S = 2.0
REPLACE = "strategy: replace"


class App:
    """Its tasks run in `tasks`, until `stop` or `let_go`."""

    plane: DataPlane | None = None
    handover: Handover | None = None

    def __init__(
        self,
        options: Options,
        store: Store,
        worktrees: Worktrees,
        listeners: Mapping[str, socket.socket],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`listeners` are the public ones; there are none without the proxy."""
        config = options.config
        self._config = config
        self._store = store
        self._tasks = tasks
        self._keeping: list[asyncio.Task[None]] = []
        self._traffic: Traffic
        if options.proxy:
            settings = listening.settings(config, options.folder, options.data)
            self._traffic = self.plane = DataPlane(options.data, listeners, settings, listening.workers(config))
        else:
            self._traffic = self.handover = Handover(options.data)
        self._launcher = Launcher(config, options.folder, options.data, store, self.handover)
        self.supervisor = Supervisor(config, self._launcher, self._traffic, tasks)
        slots = Slots(config, worktrees, store, self._launcher, Custody(worktrees, store))
        self.deployer = Deployer(
            config,
            worktrees,
            slots,
            store,
            self._launcher,
            self._traffic,
            self.supervisor,
            tasks,
            alone=self._alone,
        )

    async def let_visitors_in(self, left: Sequence[Left], *, renew: bool) -> None:
        """Before `start`. `left` and `renew` are those of `DataPlane.start`. Raises StartRefused."""
        if self.plane:
            await self.plane.start(left, renew=renew)
        if self.handover:
            await self.handover.start()

    def start(self) -> "asyncio.Task[None]":
        """Begins to recover what was live; the task ends when that is done."""
        logs, reserve = self._launcher.logs, self._store.reserve
        for task in (self._traffic.keep(), keep_orphans(), logs.keep_small(), reserve.keep()):
            self._keeping.append(self._tasks.create_task(task))
        return self.deployer.recover()

    async def stop(self) -> None:
        """Drains and ends the live version; then nothing of the app is left."""
        if self.plane:
            await self.plane.close_listeners()
        await self.deployer.stop()
        if self.plane:
            await self.plane.stop()
        if self.handover:
            await self.handover.stop()
        self._end_tasks()

    async def let_go(self) -> None:
        """Ends all of it but what runs, for the daemon that takes over."""
        await self.deployer.let_go()
        if self.handover:
            await self.handover.let_go()
        self._end_tasks()

    def _end_tasks(self) -> None:
        for task in self._keeping:
            task.cancel()

    async def _alone(self) -> str:
        if self.handover:
            return await self.handover.alone()
        return REPLACE if self._config.strategy == "replace" else ""


async def keep_orphans() -> None:
    """Runs until cancelled."""
    undertaker = containment.Undertaker()
    while True:
        await asyncio.sleep(REAP_INTERVAL_S)
        try:
            undertaker.reap(session.leaders())
        except OSError as error:
            log.error("cannot look for children that have ended: %s", error)
