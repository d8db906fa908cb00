"""Keeps one run beside the web run running, such as a worker: begins it, and starts it again when it has ended."""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from slot_machine.app.clock import monotonic_s
from slot_machine.app.failures import going_on
from slot_machine.app.notices import NOBODY, Notices
from slot_machine.app.outages import LOOPS_AFTER, SHOWN_LINES, STEADY_AFTER_S, Outages
from slot_machine.app.release import Release
from slot_machine.app.retirees import Retirees
from slot_machine.app.run import Run
from slot_machine.app.seams import Starter
from slot_machine.app.watch import Watch
from slot_machine.core.side_runs import SideRun

log = logging.getLogger(__name__)


Standing = Literal["waiting", "running", "unsteady", "backing off", "crash loop"]


class SideWatch(Watch):
    """`alone`: it begins only after all runs of its process that retire have ended, and all schedulers that do.

    `last_lines` are what the run printed before it ended. They stay until it is steady.
    """

    def __init__(
        self,
        side: SideRun,
        launcher: Starter,
        outages: Outages,
        retirees: Retirees,
        warn: Callable[[str], None],
        notices: Notices = NOBODY,
        *,
        alone: bool,
    ) -> None:
        super().__init__(side.run, launcher, outages)
        self._notices = notices
        self.side = side
        self.last_lines: tuple[str, ...] = ()
        self._retirees = retirees
        self._warn = warn
        self._alone = alone
        self._starts = 0
        self._began_s = 0.0
        self._renewal = asyncio.Event()
        self._why = ""

    def renew(self, why: str) -> None:
        """Lets a run that takes too much memory retire, as at a switch, and starts another one."""
        self._why = why
        self._renewal.set()

    def standing(self, release: Release) -> Standing:
        run = release.runs.get(self.name)
        running = run is not None and run.running
        if self._starts >= LOOPS_AFTER and not (running and self._steady):
            return "crash loop"
        if running:
            ended = not self._steady if self._starts > 1 else self._outages.ended_before(self.name, release.version)
            return "unsteady" if ended else "running"
        return "backing off" if self.last_exit else "waiting"

    @property
    def _steady(self) -> bool:
        return monotonic_s() - self._began_s >= STEADY_AFTER_S

    async def _begin(self, release: Release) -> Run | None:
        while before := self._retirees.in_the_way_of(self.side.name) if self._alone else []:
            log.info("%s waits for the end of %s", self._in_words(release), ", ".join(map(str, before)))
            await self._retirees.gone(before)
        # It begins again after a deploy that failed under `replace`, which stopped it: that end was no crash.
        self._starts = max(self._starts - 1, 0)
        return await self._try(release)

    async def _start(self, release: Release) -> Run:
        self._starts, self._began_s = self._starts + 1, monotonic_s()
        run = release.runs[self.name] = await self._launcher.start_side_run(release, self.side)
        self._outages.back(self.name)
        return run

    async def _until_over(self, release: Release, run: Run) -> None:
        self._renewal.clear()
        how = await self._watched(release, run)
        if not how:
            await self._let_retire(release, run)
            return
        up_s = monotonic_s() - self._began_s
        if up_s >= STEADY_AFTER_S:
            self._starts = 1
        self.last_exit = how
        self._notices.crashed(release.version, self.name, how, self._ended(release, run, how))
        with going_on(f"cannot read the output of {run}"):
            self.last_lines = tuple(map(self._launcher.masking.text, run.last_lines()[-SHOWN_LINES:]))
        with going_on(f"cannot clear away what is left of {run}"):
            await run.stop(0)
        hint = _hint(self.last_lines) or f"its output is in {run.log}"
        self._tell(f"{run} ended {up_s:.1f} s after its start: {how}; {hint}", worth_a_warning=up_s < STEADY_AFTER_S)

    async def _watch(self, release: Release, run: Run) -> str:
        ended = asyncio.create_task(super()._watch(release, run))
        renewal = asyncio.create_task(self._renewal.wait())
        try:
            await asyncio.wait({ended, renewal}, return_when=asyncio.FIRST_COMPLETED)
            return ended.result() if ended.done() else ""
        finally:
            for task in (ended, renewal):
                task.cancel()
            await asyncio.gather(ended, renewal, return_exceptions=True)

    async def _let_retire(self, release: Release, run: Run) -> None:
        self.last_exit = self._why
        self._tell(f"{run} is replaced: {self._why}")
        self._outages.restarted("memory", self.name)
        del release.runs[self.name]
        self._retirees.begin([run])
        if self._alone:
            await self._retirees.gone([run])

    def failed(self, what: str, error: Exception) -> None:
        super().failed(what, error)
        self._tell(f"{what}: {self.last_exit}")

    def _tell(self, words: str, *, worth_a_warning: bool = True) -> None:
        """Of its first end after a switch, and when it turns out to be a crash loop, the attempt is told, too."""
        if self._starts == LOOPS_AFTER:
            self._warn(f"crash loop, {LOOPS_AFTER} starts: {words}")
        elif self._starts == 1 and worth_a_warning:
            self._warn(words)
        else:
            log.error("%s", words)


def _hint(lines: tuple[str, ...]) -> str:
    """What to do about an end whose reason is well known; empty for others."""
    text = "\n".join(lines).lower()
    if "pidfile" in text and "already exists" in text:
        return "a file with the pid of an earlier run is in the way: remove it, and add `--pidfile=` to the command"
    return ""
