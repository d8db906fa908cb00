"""Gathers what visitors see of a new version and of the old one, while one of them is watched."""

import asyncio
import time
from collections.abc import Sequence
from math import ceil

from slot_machine.app.clock import monotonic_s
from slot_machine.app.failures import going_on
from slot_machine.app.recorder import RECENT_MINUTES, Recorder
from slot_machine.core.failing import KNOWN
from slot_machine.core.gathering import Gathering
from slot_machine.core.minutes import Minute, Tally
from slot_machine.core.side import Side
from slot_machine.state.stats import QUARTER

LONGEST_READ_S = 2.0
"""What is not read by then is not known. The look must not take longer."""
WARM_S = 30.0
"""From the begin of the watch: caches are filled and code is compiled by then."""


class Evidence:
    """Of the versions in two slots, from the first look on.

    Of the old one, also its last minutes before that, and its last hour for paths that had no request in them.
    `same_minutes`: the old version goes on to serve, as in a share. Else its last requests after the switch count for
    nobody.
    """

    def __init__(self, recorder: Recorder, new: str, old: str, *, same_minutes: bool = False) -> None:
        self._recorder = recorder
        self._new, self._old = new, old
        self._same_minutes = same_minutes
        self._began_s: float | None = None
        self._asked_s = 0.0
        self._of_new, self._of_old = Gathering(), Gathering()
        self._warm = {new: Tally({}), old: Tally({})}
        self._history = Side()

    async def look(self) -> tuple[Side, Side]:
        """The new and the old version. Raises nothing."""
        if self._began_s is None:
            await self._begin()
        await self._recorder.look()
        return self._new_side(), self._old_side()

    def counted(self, minutes: Sequence[Minute]) -> None:
        """What several workers counted at the same time is one look."""
        now_s = monotonic_s()
        for slot, gathering in ((self._new, self._of_new), (self._old, self._of_old)):
            paths: dict[str, Tally] = {}
            for path, tally in (item for minute in minutes if minute.slot == slot for item in minute.paths.items()):
                paths.setdefault(path, Tally({})).add(tally)
            gathering.add(paths, int(now_s))
            if self._began_s is not None and now_s - self._began_s >= WARM_S:
                for tally in paths.values():
                    self._warm[slot].add(tally)
            if paths and slot == self._new:
                self._asked_s = now_s

    async def _begin(self) -> None:
        """What was counted up to now is of earlier versions, or of the old one before the switch."""
        await self._recorder.look()
        self._began_s = self._asked_s = monotonic_s()
        self._recorder.listeners.add(self)
        gathering = Gathering()
        for (number, slot), minute in sorted(self._recorder.recent_minutes.items()):
            if slot == self._old:
                gathering.add(minute.paths, number * 60)
        minutes = gathering.side()
        self._history = Side({**await self._last_hour(), **minutes.paths}, bursts=minutes.bursts)

    async def _last_hour(self) -> dict[str, Tally]:
        """By path, in whole quarters of an hour since the old version went live in which no other version had requests.
        Empty if that can't be read.

        A daemon that has begun during the watch does not know since when that is.
        """
        now = time.time() / 60
        first = max(self._recorder.live_since.get(self._old, 0.0), now - RECENT_MINUTES)
        first = ceil(first / QUARTER) * QUARTER
        if first > now:
            return {}
        with going_on("cannot read what visitors saw of the old version"):
            async with asyncio.timeout(LONGEST_READ_S):
                hour = await asyncio.to_thread(self._recorder.stats.paths_of, self._old, first)
                for tally in hour.values():
                    # Of which nothing came in the last minutes, so none waits.
                    tally.waiting = 0
                return hour
        return {}

    def _new_side(self) -> Side:
        now_s, began_s = monotonic_s(), self._began_s or 0.0
        return self._of_new.side(self._warm[self._new], now_s - began_s, now_s - self._asked_s)

    def _old_side(self) -> Side:
        """In a share, a path with enough requests in the same minutes is compared with these alone."""
        if not self._same_minutes:
            return self._history
        live, paths = self._of_old.side(self._warm[self._old]), dict(self._history.paths)
        for path, tally in live.paths.items():
            if tally.requests >= KNOWN or path not in paths:
                paths[path] = tally
            else:
                both = paths[path] = Tally({})
                both.add(self._history.paths[path])
                both.add(tally)
        bursts = {**self._history.bursts, **live.bursts}
        return Side(paths, bursts=bursts, warm=live.warm, meanwhile=live.paths)
