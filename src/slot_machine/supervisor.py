"""Keeps the live version running: a crash is noticed at once and answered with a restart."""

import asyncio
import logging
import time

from slot_machine.core.backoff import next_delay_s
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from slot_machine.host.processes import describe_exit
from slot_machine.release import Launcher, Release, describe
from slot_machine.traffic import Traffic

log = logging.getLogger(__name__)


class Supervisor:
    """Watches one version at a time. `release` is its latest start, which may have ended.

    `restarts` counts since that version went live, `all_restarts` and `switches` since the daemon began.
    """

    def __init__(self, launcher: Launcher, traffic: Traffic, tasks: asyncio.TaskGroup) -> None:
        self._launcher = launcher
        self._traffic = traffic
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self.release: Release | None = None
        self.restarts = 0
        self.all_restarts = 0
        self.switches = 0
        self.last_exit = ""

    @property
    def healthy(self) -> bool:
        return self.release is not None and self.release.upstream is not None and self.release.running

    @property
    def watching(self) -> bool:
        return self._task is not None

    def watch(self, release: Release) -> None:
        """From here on, `release` is the live one."""
        self.release = release
        self.switches += 1
        self.restarts = 0
        self.last_exit = ""
        self._task = self._tasks.create_task(self._keep(release.version, release, 0))

    def take_over(self, release: Release) -> None:
        """Goes on watching what an earlier daemon made live."""
        self.release = release
        self._task = self._tasks.create_task(self._keep(release.version, release, 0))

    async def let_go(self) -> None:
        """Stops watching; the live version goes on."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def pause(self) -> Release | None:
        """Stops watching, so that the live version can be replaced. Returns it if it runs.

        A restart that is under way is undone.
        """
        if self._task:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])
        if self.healthy:
            return self.release
        if self.release:
            await self.release.stop(0)
        return None

    async def resume(self, version: Version) -> None:
        """Takes care of `version` again after a `pause`: goes on with the start that still runs, else starts it."""
        if self.release and self.healthy and self.release.version == version:
            await self._traffic.route(self.release.upstream)
            self._task = self._tasks.create_task(self._keep(version, self.release, 0))
            return
        try:
            release = await self._start(version)
        except StageFailed as error:
            log.error("cannot start %s again: %s", describe(version), error)
            await self._traffic.route(None)
            self.retry(version)
        else:
            self._task = self._tasks.create_task(self._keep(version, release, 0))

    def retry(self, version: Version) -> None:
        """Starts a version that does not run, after the first delay and until it is healthy."""
        self._task = self._tasks.create_task(self._keep(version, None, 0))

    async def _keep(self, version: Version, release: Release | None, delay_s: float) -> None:
        while True:
            healthy_s = 0.0
            if release:
                await self._until_crash(release)
                healthy_s = time.monotonic() - release.started_s
            delay_s = next_delay_s(delay_s, healthy_s)
            log.info("starting %s again in %g s", describe(version), delay_s)
            await asyncio.sleep(delay_s)
            self.restarts += 1
            self.all_restarts += 1
            try:
                release = await self._start(version)
            except StageFailed as error:
                release = None
                self.last_exit = str(error)
                log.error("restart of %s failed: %s", describe(version), error)

    async def _until_crash(self, release: Release) -> None:
        code = await release.session.exited()
        self.last_exit = describe_exit(code)
        log.error("the live app, %s, ended: %s", describe(release.version), self.last_exit)
        await self._traffic.route(None)
        await release.stop(0)
        if release.upstream:
            await self._traffic.forget(release.upstream)

    async def _start(self, version: Version) -> Release:
        release = await self._launcher.launch(version)
        self.release = release
        await self._traffic.route(release.upstream)
        return release
