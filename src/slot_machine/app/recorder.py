"""Writes down each minute what the workers counted of the requests."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol
from weakref import WeakSet

from slot_machine.core.minutes import ByMinute, Minute, merge
from slot_machine.core.model import State, Version
from slot_machine.state.stats import Stats

LATER_S = 1.0
"""From the end of a minute: the workers have noticed it by then."""
LONGEST_WRITE_S = 5.0
"""No end of a daemon waits for longer."""
RECENT_MINUTES = 60
"""From the quarter of an hour in which that lies."""
LAST_MINUTES = 10
"""Are kept in memory, for a watch."""

log = logging.getLogger(__name__)


class Workers(Protocol):
    async def take_minutes(self, *, current: bool) -> Sequence[Minute]:
        """What they counted since the last call, in minutes that are over. `current`: the current one ends now."""


class Listener(Protocol):
    def counted(self, minutes: Sequence[Minute], /) -> None:
        """Some requests, each told once. A minute may come in parts."""


class Recorder:
    """The only one that takes from the workers what they counted.

    `listeners` are told of it, as long as they exist. `recent_minutes` has the last minutes of the versions that are in
    the slots now. `live_since` has the minute since 1970 in which the version in a slot went live.
    """

    def __init__(self, workers: Workers, stats: Stats, state: Callable[[], State] = State) -> None:
        """`state` is asked what is live; it may raise sqlite3.Error."""
        self.stats = stats
        self.listeners: WeakSet[Listener] = WeakSet()
        self.recent_minutes: ByMinute = {}
        self.live_since: dict[str, float] = {}
        self._state = state
        self._workers = workers
        self._unwritten: ByMinute = {}
        self._versions: dict[str, Version] = {}
        self._failure = ""

    async def look(self) -> None:
        """Takes what was counted up to now. It is written down with its minute. Raises nothing."""
        await self._record(self._take(current=True))

    async def keep(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._record(self._write(current=False))
            await asyncio.sleep(60 - time.time() % 60 + LATER_S)

    async def finish(self) -> None:
        """Writes the minute that has begun, too. Raises nothing."""
        try:
            async with asyncio.timeout(LONGEST_WRITE_S):
                await self._record(self._write(current=True))
        except TimeoutError:
            log.error("cannot write down the requests of the last minute: that takes too long")

    async def recent(self) -> dict[str, int]:
        """How many anonymous requests each path had in the last hour. Raises TimeoutError, sqlite3.Error, OSError."""
        async with asyncio.timeout(LONGEST_WRITE_S):
            await self._record(self._write(current=True))
            tallies = await asyncio.to_thread(self.stats.paths_since, int(time.time()) // 60 - RECENT_MINUTES)
        return {path: tally.anonymous for path, tally in tallies.items() if tally.anonymous}

    async def _write(self, *, current: bool) -> None:
        await self._take(current=current)
        minutes, self._unwritten = list(self._unwritten.values()), {}
        if minutes:
            await asyncio.to_thread(self.stats.add, minutes)

    async def _take(self, *, current: bool) -> None:
        minutes = await self._workers.take_minutes(current=current)
        merge(self._unwritten, minutes)
        for listener in list(self.listeners):
            listener.counted(minutes)
        merge(self.recent_minutes, (minute for minute in minutes if minute.slot))
        self._learn_what_is_live()
        newest = max((minute for minute, _ in self.recent_minutes), default=0)
        for key in [key for key in self.recent_minutes if key[0] <= newest - LAST_MINUTES]:
            del self.recent_minutes[key]

    def _learn_what_is_live(self) -> None:
        """What was counted of another version in its slot counts no more, so call it soon after each switch."""
        state, knew = self._state(), bool(self._versions)
        if (version := state.live) and state.last_deploy_time and self._versions.get(version.slot) != version:
            self._versions[version.slot] = version
            self.live_since[version.slot] = datetime.fromisoformat(state.last_deploy_time).timestamp() / 60
            for key in [key for key in self.recent_minutes if key[1] == version.slot and knew]:
                del self.recent_minutes[key]

    async def _record(self, work: Awaitable[None]) -> None:
        """An error is logged when it is another one than before: a full disk may stay full for long."""
        failure = ""
        try:
            await work
        except (sqlite3.Error, OSError) as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001 - it is tried again
            failure = repr(error)
        if failure and failure != self._failure:
            log.error("cannot write down what the requests took: %s", failure)
        self._failure = failure
