"""Watches the held candidate: it fails when it ends by itself, and is ended when its time is over."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable

from slot_machine.app.clock import monotonic_s
from slot_machine.app.failures import going_on, in_words
from slot_machine.app.release import Release, describe
from slot_machine.app.run import Run
from slot_machine.core.candidate import Candidate
from slot_machine.core.masking import Masking

RETRY_S = 1.0

OnEnd = Callable[[Candidate, str], None]
"""Called with how it ended."""
OnTime = Callable[[str], Awaitable[object]]
"""Ends it, for that reason. Raises sqlite3.Error; then it is called again."""

log = logging.getLogger(__name__)


class HoldWatch:
    """A candidate may be held for `timeout_s`."""

    def __init__(self, masking: Masking, tasks: asyncio.TaskGroup, timeout_s: float) -> None:
        self._masking = masking
        self._tasks = tasks
        self._timeout_s = timeout_s
        self._task: asyncio.Task[None] | None = None

    def start(self, release: Release, candidate: Candidate, on_end: OnEnd, on_time: OnTime) -> None:
        self._task = self._tasks.create_task(self._watch(release, candidate, on_end, on_time))

    def stop(self) -> None:
        if self._task and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = None

    async def _watch(self, release: Release, candidate: Candidate, on_end: OnEnd, on_time: OnTime) -> None:
        left_s = candidate.since_s + self._timeout_s - monotonic_s()
        try:
            async with asyncio.timeout(max(left_s, 0)) as limit:
                how = await self._exited(release.web)
        except TimeoutError:
            assert limit.expired()
            await self._expire(on_time)
            return
        with going_on("cannot read what the held candidate printed last"):
            if lines := release.web.last_lines():
                how += f"; the last line of its output: {lines[-1]}"
        if candidate.runs_on:
            log.error("%s, which was taken back, has ended: %s", describe(candidate.version), how)
            how = candidate.error
        else:
            when = f"had {candidate.percent:g}% of the visitors" if candidate.share else "was held"
            how = f"it ended while it {when}: {self._masking.text(how)}"
        on_end(candidate, how)

    async def _exited(self, run: Run) -> str:
        while True:
            try:
                return run.how_ended(await run.session.exited())
            except Exception as error:  # noqa: BLE001 - it may go on
                log.error("cannot watch the held candidate, trying again in %g s: %s", RETRY_S, error)
                await asyncio.sleep(RETRY_S)

    async def _expire(self, on_time: OnTime) -> None:
        why = f"it was held for {self._timeout_s:g} s (hold_timeout_ms), so it was aborted"
        while True:
            try:
                await on_time(why)
            except sqlite3.Error as error:
                log.error("cannot abort the held candidate, trying again in %g s: %s", RETRY_S, in_words(error))
                await asyncio.sleep(RETRY_S)
            else:
                return
