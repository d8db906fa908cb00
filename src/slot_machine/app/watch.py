"""Keeps one run of the live release running: when it ends, it is started again after a delay."""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from slot_machine.app.another_port import log_it
from slot_machine.app.failures import going_on, in_words, log_failure
from slot_machine.app.monitor import Monitor
from slot_machine.app.notices import NOBODY, Notices
from slot_machine.app.outages import Cause, Outages
from slot_machine.app.release import Release, describe
from slot_machine.app.retirement import retire
from slot_machine.app.run import Run
from slot_machine.app.seams import Starter
from slot_machine.core.backoff import next_delay_s
from slot_machine.core.errors import SlotMachineError
from slot_machine.core.model import WEB
from slot_machine.traffic.protocol import Traffic

log = logging.getLogger(__name__)

RETRY_S = 1.0


class Watch(ABC):
    """Watches the run called `name`. `restarts` counts since its release went live; `last_exit` tells its latest end.

    Any failure is logged and tried again.
    """

    def __init__(self, name: str, launcher: Starter, outages: Outages) -> None:
        self.name = name
        self._outages = outages
        self.restarts = 0
        self.last_exit = ""
        self._launcher = launcher

    async def keep(self, release: Release) -> None:
        """Runs until it is cancelled."""
        run, delay_s = release.runs.get(self.name) or await self._begin(release), 0.0
        while True:
            up_s = 0.0
            if run:
                await self._until_over(release, run)
                up_s = time.monotonic() - run.started_s
            delay_s = next_delay_s(delay_s, up_s)
            log.info("starting %s again in %g s", self._in_words(release), delay_s)
            await asyncio.sleep(delay_s)
            self.restarts += 1
            run = await self._try(release)

    def failed(self, what: str, error: Exception) -> None:
        masking = self._launcher.masking
        self.last_exit = masking.text(in_words(error))
        if isinstance(error, SlotMachineError):
            masking.error(error)
        log_failure(what, error)
        self._outages.failed(self.name, f"{what}: {self.last_exit}")

    def _ended(self, release: Release, run: Run, how: str, cause: Cause = "crash") -> int:
        """Writes it down. Returns the id of its entry in the history; 0 if none could be begun."""
        lines: tuple[str, ...] = ()
        with going_on(f"cannot read the output of {run}"):
            lines = run.last_lines()
        return self._outages.ended(self.name, release.version, cause, how, lines)

    def _in_words(self, release: Release) -> str:
        return f"{self.name} of {describe(release.version)}"

    async def _begin(self, _: Release) -> Run | None:
        """Starts a run that is missing in the release; None if that comes after the first delay."""
        return None

    async def _try(self, release: Release) -> Run | None:
        try:
            return await self._start(release)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self.failed(f"{'restart' if self.restarts else 'start'} of {self._in_words(release)} failed", error)
        return None

    @abstractmethod
    async def _start(self, release: Release) -> Run: ...

    @abstractmethod
    async def _until_over(self, release: Release, run: Run) -> None:
        """Waits for the end of the run, and ends what is left of it."""

    async def _watched(self, release: Release, run: Run) -> str:
        while True:
            try:
                return await self._watch(release, run)
            except Exception as error:  # noqa: BLE001 - the run may go on
                log.error("cannot watch %s, trying again in %g s: %s", self._in_words(release), RETRY_S, error)
                await asyncio.sleep(RETRY_S)

    async def _watch(self, release: Release, run: Run) -> str:  # noqa: ARG002 - the web run's health is its release's
        """Returns how the run ended; empty if it runs, and is to be ended because it is unhealthy."""
        return run.how_ended(await run.session.exited())


class WebWatch(Watch):
    """Watches the web run: requests are routed to it while it runs, and its health is checked."""

    def __init__(
        self,
        launcher: Starter,
        traffic: Traffic,
        monitor: Monitor,
        outages: Outages,
        on_restart: Callable[[Release], None],
        notices: Notices = NOBODY,
    ) -> None:
        super().__init__(WEB, launcher, outages)
        self._notices = notices
        self._traffic = traffic
        self._monitor = monitor
        self._on_restart = on_restart
        self._routed = True

    def begin(self, *, routed: bool) -> None:
        """Another release went live. `routed`: new requests go to it already."""
        self.restarts = 0
        self.last_exit = ""
        self._routed = routed

    async def route(self, release: Release) -> None:
        self._routed = False
        await self._traffic.route(release.upstream)
        self._routed = True

    async def serve(self, release: Release) -> None:
        """Routes requests to a web run that has just been started. If that fails, stops it and raises."""
        run = release.web
        for doubt in run.listeners.doubts:
            log.warning("%s: %s", describe(release.version), doubt)
        try:
            await self.route(release)
        except Exception:
            await run.stop(0)
            del release.runs[WEB]
            raise
        self._monitor.started_again()
        self._outages.back(WEB)
        self._on_restart(release)

    def _in_words(self, release: Release) -> str:
        return describe(release.version)

    async def _start(self, release: Release) -> Run:
        run = release.runs[WEB] = await self._launcher.restart(release, self._on_taken)
        await self.serve(release)
        return run

    def _on_taken(self, words: str) -> None:
        log_it(words)
        self._outages.failed(WEB, self._launcher.masking.text(words))

    async def _until_over(self, release: Release, run: Run) -> None:
        how = await self._watched(release, run)
        self.last_exit = how or f"ended because it was unhealthy: {self._monitor.reason}"
        self._monitor.crashed()
        log.error("the live app, %s, ended: %s", describe(release.version), self.last_exit)
        with going_on("cannot tell that nothing is live"):
            await self._traffic.route(None)
        entry = self._ended(release, run, self.last_exit, "crash" if how else "unhealthy")
        if how:
            self._notices.crashed(release.version, WEB, how, entry)
        with going_on(f"cannot clear away what is left of {describe(release.version)}"):
            if not how:
                await retire(self._traffic, run, release.version.config.drain_timeout_s)
                return
            await run.stop(0)
            if run.upstream:
                await self._traffic.forget(run.upstream)

    async def _watch(self, release: Release, run: Run) -> str:
        if not self._routed:
            await self.route(release)
        ended = asyncio.create_task(run.session.exited())
        sick = asyncio.create_task(self._monitor.until_to_be_started_again(release))
        try:
            await asyncio.wait({ended, sick}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return run.how_ended(ended.result())
            sick.result()
            return ""
        finally:
            for task in (ended, sick):
                task.cancel()
            await asyncio.gather(ended, sick, return_exceptions=True)
