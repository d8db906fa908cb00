"""Keeps the live release running: each of its runs is watched, and started again when it ends."""

import asyncio

from slot_machine.app.failures import going_on
from slot_machine.app.monitor import Monitor
from slot_machine.app.release import Release, describe
from slot_machine.app.seams import Starter
from slot_machine.app.watch import Watch, WebWatch
from slot_machine.core.config import DaemonConfig
from slot_machine.core.model import WEB, Version
from slot_machine.traffic.protocol import Traffic


class Supervisor:
    """`release` is the live one, or the one that was live last. `watches` has one for each of its runs, by name.

    Any failure is logged and tried again. `all_restarts` and `switches` count since the daemon began.
    """

    def __init__(self, config: DaemonConfig, launcher: Starter, traffic: Traffic, tasks: asyncio.TaskGroup) -> None:
        self._launcher = launcher
        self._traffic = traffic
        self._tasks = tasks
        self._watching: set[asyncio.Task[None]] = set()
        self._earlier_restarts = 0
        self.monitor = Monitor(config, launcher)
        self.web = WebWatch(launcher, traffic, self.monitor)
        self.watches: dict[str, Watch] = {WEB: self.web}
        self.release: Release | None = None
        self.switches = 0

    @property
    def running(self) -> bool:
        """Whether the web run of the live release runs, healthy or not."""
        return self.release is not None and self.release.upstream is not None and self.release.running

    @property
    def healthy(self) -> bool:
        return self.running and not self.monitor.reason

    @property
    def unhealthy_reason(self) -> str:
        """Empty where it is healthy, or where nothing is live."""
        if self.running:
            return self.monitor.reason
        if self.watching:
            return f"it does not run: {self.web.last_exit or 'it is being started'}"
        return "it does not run: it makes way for another version" if self.release else ""

    @property
    def watching(self) -> bool:
        return bool(self._watching)

    @property
    def all_restarts(self) -> int:
        return self._earlier_restarts + sum(watch.restarts for watch in self.watches.values())

    def watch(self, release: Release) -> None:
        """From here on, `release` is the live one."""
        self.switches += 1
        self._earlier_restarts = self.all_restarts
        self.web.begin()
        self.watches = {WEB: self.web}
        self.monitor.proven()
        self._keep(release)

    async def take_over(self, release: Release) -> None:
        """Goes on with what an earlier daemon made live."""
        self.release = release
        with going_on(f"cannot route to {describe(release.version)}"):
            await self.web.route(release)
        with going_on(f"cannot ask for the health of {describe(release.version)}"):
            await self.monitor.taken_over(release)
        self._keep(release)

    async def let_go(self) -> None:
        """Stops watching; the live release goes on."""
        for task in self._watching:
            task.cancel()
        if self._watching:
            await asyncio.wait(self._watching)

    async def pause(self) -> Release | None:
        """Stops watching, so that the live release can be replaced. Returns it if its web run runs, else ends it.

        A restart that is under way is undone.
        """
        tasks, self._watching = self._watching, set()
        for task in tasks:
            task.cancel()
        if tasks:
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError:
                # Else the next start could come before the end of the one that is undone.
                await asyncio.wait(tasks)
                raise
        if self.running:
            return self.release
        if self.release:
            await self.release.stop(0)
        return None

    async def resume(self, version: Version) -> None:
        """Takes care of `version` again after a `pause`: goes on with the release that still runs, else starts one."""
        stale = self.release if self.running else None
        release = stale if stale and stale.version == version and self._can_go_on(stale) else None
        try:
            if release:
                await self.web.route(release)
            else:
                self.release = release = await self._launcher.launch(version)
                await self.web.serve(release)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self.web.failed(f"cannot start {describe(version)} again", error)
        if not release or WEB not in release.runs:
            self.monitor.crashed()
            with going_on("cannot tell that nothing is live"):
                await self._traffic.route(None)
        self._keep(release or Release(version))
        if stale and stale is not release:
            await stale.stop(stale.version.config.drain_timeout_s)

    def _can_go_on(self, release: Release) -> bool:
        with going_on(f"cannot tell whether {describe(release.version)} can go on, so it does"):
            return self._launcher.can_adopt(release)
        return True

    async def retry(self, version: Version, why: str) -> None:
        """Starts a version that does not run, after the first delay and until it is healthy."""
        with going_on("cannot tell that nothing is live"):
            await self._traffic.route(None)
        self.web.last_exit = why
        self.monitor.crashed()
        self._keep(Release(version))

    def _keep(self, release: Release) -> None:
        self.release = release
        for name in self._launcher.runs:
            watch = self.watches.setdefault(name, Watch(name, self._launcher))
            self._watching.add(self._tasks.create_task(watch.keep(release)))
