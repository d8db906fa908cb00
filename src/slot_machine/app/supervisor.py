"""Keeps the live version running: a crash is noticed at once and answered with a restart."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from slot_machine.app.monitor import Monitor
from slot_machine.app.release import Release, describe
from slot_machine.app.seams import Starter
from slot_machine.core.backoff import next_delay_s
from slot_machine.core.config import VersionConfig
from slot_machine.core.errors import SlotMachineError
from slot_machine.core.model import Version
from slot_machine.core.upstream import Counts, Upstream
from slot_machine.host.process.session import describe_exit
from slot_machine.traffic.protocol import Traffic, drained_within, unwinding_within

log = logging.getLogger(__name__)

RETRY_S = 1.0


class Retired(NamedTuple):
    """`drained`: no request was left at half of the budget. `counts` is None where nobody counted."""

    drained: bool
    killed: bool
    counts: Counts | None


class Supervisor:
    """Watches one version at a time. `release` is its latest start, which may have ended.

    Whatever fails, the daemon lives, and it is tried again. `restarts` counts since that version went live,
    `all_restarts` and `switches` since the daemon began.
    """

    def __init__(self, config: VersionConfig, launcher: Starter, traffic: Traffic, tasks: asyncio.TaskGroup) -> None:
        self._config = config
        self._launcher = launcher
        self._traffic = traffic
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self._routed = True
        self.monitor = Monitor(config, launcher)
        self.release: Release | None = None
        self.restarts = 0
        self.all_restarts = 0
        self.switches = 0
        self.last_exit = ""

    @property
    def running(self) -> bool:
        """Whether the live version's process runs, healthy or not."""
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
            return f"it does not run: {self.last_exit or 'it is being started'}"
        return "it does not run: it makes way for another version" if self.release else ""

    @property
    def watching(self) -> bool:
        return self._task is not None

    def watch(self, release: Release) -> None:
        """From here on, `release` is the live one."""
        self.switches += 1
        self.restarts = 0
        self.last_exit = ""
        self._routed = True
        self._adopt(release)

    async def take_over(self, release: Release) -> None:
        """Goes on with what an earlier daemon made live."""
        self.release = release
        with going_on(f"cannot route to {describe(release.version)}"):
            await self._route(release)
        with going_on(f"cannot ask for the health of {describe(release.version)}"):
            await self.monitor.taken_over(release)
        self._keep(release.version, release)

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
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                # Else the next start could come before the end of the one that is undone.
                await asyncio.wait([task])
                raise
        if self.running:
            return self.release
        if self.release:
            await self.release.stop(0)
        return None

    async def resume(self, version: Version) -> None:
        """Takes care of `version` again after a `pause`: goes on with the start that still runs, else starts it."""
        stale = self.release if self.running else None
        release = stale if stale and stale.version == version and self._launcher.can_adopt(stale) else None
        try:
            if release:
                await self._route(release)
            else:
                release = await self._start(version)
                self.monitor.started_again()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self._failed(f"cannot start {describe(version)} again", error)
        if not release:
            self.monitor.crashed()
            with going_on("cannot tell that nothing is live"):
                await self._traffic.route(None)
        self._keep(version, release)
        if stale and stale is not release:
            await stale.stop(self._config.drain_timeout_s)

    async def retry(self, version: Version, why: str) -> None:
        """Starts a version that does not run, after the first delay and until it is healthy."""
        with going_on("cannot tell that nothing is live"):
            await self._traffic.route(None)
        self.last_exit = why
        self.monitor.crashed()
        self._keep(version, None)

    def _adopt(self, release: Release) -> None:
        self.release = release
        self.monitor.proven()
        self._keep(release.version, release)

    def _keep(self, version: Version, release: Release | None) -> None:
        self._task = self._tasks.create_task(self._kept(version, release))

    async def _kept(self, version: Version, release: Release | None) -> None:
        delay_s = 0.0
        while True:
            up_s = 0.0
            if release:
                await self._until_over(release)
                up_s = time.monotonic() - release.started_s
            delay_s = next_delay_s(delay_s, up_s)
            log.info("starting %s again in %g s", describe(version), delay_s)
            await asyncio.sleep(delay_s)
            self.restarts += 1
            self.all_restarts += 1
            try:
                release = await self._start(version)
                self.monitor.started_again()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                release = None
                self._failed(f"restart of {describe(version)} failed", error)

    async def _until_over(self, release: Release) -> None:
        """Until it has ended, or is ended because it is unhealthy, with all that came of it."""
        how = await self._watched(release)
        self.last_exit = how or f"ended because it was unhealthy: {self.monitor.reason}"
        self.monitor.crashed()
        log.error("the live app, %s, ended: %s", describe(release.version), self.last_exit)
        with going_on("cannot tell that nothing is live"):
            await self._traffic.route(None)
        with going_on(f"cannot clear away what is left of {describe(release.version)}"):
            if not how:
                await retire(self._traffic, release, self._config.drain_timeout_s)
                return
            await release.stop(0)
            if release.upstream:
                await self._traffic.forget(release.upstream)

    async def _watched(self, release: Release) -> str:
        """How it ended; empty if it is to be ended, because it is unhealthy."""
        while True:
            try:
                if not self._routed:
                    await self._route(release)
                return await self._watch(release)
            except Exception as error:  # noqa: BLE001 - the app may well run
                log.error("cannot watch %s, trying again in %g s: %s", describe(release.version), RETRY_S, error)
                await asyncio.sleep(RETRY_S)

    async def _watch(self, release: Release) -> str:
        ended = asyncio.create_task(release.session.exited())
        sick = asyncio.create_task(self.monitor.until_to_be_started_again(release))
        try:
            await asyncio.wait({ended, sick}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return describe_exit(ended.result())
            sick.result()
            return ""
        finally:
            for task in (ended, sick):
                task.cancel()
            await asyncio.gather(ended, sick, return_exceptions=True)

    async def _start(self, version: Version) -> Release:
        release = await self._launcher.launch(version)
        for doubt in release.listeners.doubts:
            log.warning("%s: %s", describe(version), doubt)
        self.release = release
        try:
            await self._route(release)
        except Exception:
            await release.stop(0)
            raise
        return release

    async def _route(self, release: Release) -> None:
        self._routed = False
        await self._traffic.route(release.upstream)
        self._routed = True

    def _failed(self, what: str, error: Exception) -> None:
        self.last_exit = in_words(error)
        log_failure(what, error)


async def retire(traffic: Traffic, release: Release, budget_s: float) -> Retired:
    """Drains and ends a version that gets no new requests.

    SIGTERM comes with half of the budget left at the latest; what would go on forever is ended in that half.
    Cancelled before that, the version runs on.
    """
    ends_s = time.monotonic() + budget_s
    assert release.upstream is not None
    try:
        drained = await _drained(traffic, release.upstream, budget_s)
    except Exception:
        await release.stop(ends_s - time.monotonic())
        raise
    try:
        killed = await release.stop(ends_s - time.monotonic())
    finally:
        counts = await traffic.forget(release.upstream)
    return Retired(drained, killed, counts)


async def _drained(traffic: Traffic, upstream: Upstream, budget_s: float) -> bool:
    """Whether its requests ended in half of the budget."""
    began_s = time.monotonic()
    if await drained_within(traffic, upstream, budget_s / 2):
        return True
    left_s = budget_s - (time.monotonic() - began_s)
    await unwinding_within(traffic, upstream, left_s, left_s / 2)
    return False


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """What fails in it is logged and ends nothing."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        log_failure(what, error)


def log_failure(what: str, error: Exception) -> None:
    """With the traceback where the error has no name of its own."""
    foreseen = isinstance(error, SlotMachineError | OSError | sqlite3.Error)
    log.error("%s: %s", what, in_words(error), exc_info=None if foreseen else error)


def in_words(error: Exception) -> str:
    """With what to do about it."""
    if isinstance(error, sqlite3.Error):
        return f"cannot write the database: {error}"
    if not isinstance(error, SlotMachineError | OSError):
        return f"unexpected {type(error).__name__}: {error}; see the daemon's output, and report it"
    hint = error.hint if isinstance(error, SlotMachineError) else ""
    return f"{error}; {hint}" if hint else str(error)
