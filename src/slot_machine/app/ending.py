"""The end of a daemon: the live version is drained and stopped, or left to the next daemon."""

import asyncio
import time
from dataclasses import dataclass

from slot_machine.app.failures import going_on
from slot_machine.app.inspection import Inspection
from slot_machine.app.parts import Parts
from slot_machine.app.release import describe
from slot_machine.app.retirement import retire
from slot_machine.core.errors import Stopping


@dataclass(frozen=True)
class Ending:
    _parts: Parts
    _inspection: Inspection

    async def stop(self) -> None:
        """Breaks off the operation that runs, unless it has switched; then drains and stops the live version."""
        self._parts.operations.refuse_more(Stopping)
        self._parts.preflight.cancel()
        self._inspection.cancel()
        began_s = time.monotonic()
        await self._parts.operations.abandon()
        ending = asyncio.create_task(self._parts.candidates.stop())
        live = await self._parts.supervisor.pause()
        self._parts.supervisor.end_side_runs()
        ends_s = began_s + (live.version.config.drain_timeout_s if live else 0)
        if live:
            with going_on(f"cannot drain {describe(live.version)}"):
                await retire(self._parts.mode.traffic, live, ends_s - time.monotonic())
        await self._parts.operations.idle()
        await ending
        # An earlier daemon may have left releases that a recovery did not get to.
        with going_on("cannot end what an earlier daemon left"):
            await self._parts.supervisor.retirees.all_gone()
            self._parts.supervisor.retirees.begin(self._parts.launcher.left_retiring())
            for release in self._parts.launcher.left_running():
                self._parts.supervisor.retirees.begin(release.take_side_runs())
                await release.stop(began_s + release.version.config.drain_timeout_s - time.monotonic())
        await self._parts.supervisor.retirees.all_gone()

    async def let_go(self) -> None:
        """Leaves the live version running, for the daemon that takes over."""
        self._parts.preflight.cancel()
        self._parts.candidates.let_go()
        await self._parts.supervisor.let_go()
        self._inspection.cancel()
