"""Writes down each minute what the workers counted of the requests."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Sequence
from typing import Protocol

from slot_machine.core.minutes import Minute
from slot_machine.state.stats import Stats

LATER_S = 1.0
"""From the end of a minute: the workers have noticed it by then."""
LONGEST_WRITE_S = 5.0
"""No end of a daemon waits for longer."""
RECENT_MINUTES = 60
"""From the quarter of an hour in which that lies."""

log = logging.getLogger(__name__)


class Workers(Protocol):
    async def take_minutes(self, *, current: bool) -> Sequence[Minute]:
        """What they counted since the last call, in minutes that are over. `current`: the current one ends now."""


class Recorder:
    def __init__(self, workers: Workers, stats: Stats) -> None:
        self.stats = stats
        self._workers = workers
        self._failure = ""

    async def keep(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(60 - time.time() % 60 + LATER_S)
            await self._record(current=False)

    async def finish(self) -> None:
        """Writes the minute that has begun, too. Raises nothing."""
        try:
            async with asyncio.timeout(LONGEST_WRITE_S):
                await self._record(current=True)
        except TimeoutError:
            log.error("cannot write down the requests of the last minute: that takes too long")

    async def recent(self) -> dict[str, int]:
        """How many anonymous requests each path had in the last hour. Raises TimeoutError, sqlite3.Error, OSError."""
        async with asyncio.timeout(LONGEST_WRITE_S):
            await self._record(current=True)
            tallies = await asyncio.to_thread(self.stats.paths_since, int(time.time()) // 60 - RECENT_MINUTES)
        return {path: tally.anonymous for path, tally in tallies.items() if tally.anonymous}

    async def _record(self, *, current: bool) -> None:
        """An error is logged when it is another one than before: a full disk may stay full for long."""
        failure = ""
        try:
            if minutes := await self._workers.take_minutes(current=current):
                await asyncio.to_thread(self.stats.add, minutes)
        except (sqlite3.Error, OSError) as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001 - it is tried again
            failure = repr(error)
        if failure and failure != self._failure:
            log.error("cannot write down what the requests took: %s", failure)
        self._failure = failure
