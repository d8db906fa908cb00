"""Adds up what is counted of a version, look by look."""

from collections.abc import Mapping

from slot_machine.core.minutes import OTHER, Tally
from slot_machine.core.side import ALL, Side

LEAST_MINUTES = 3
"""With fewer, nothing says whether failures come in bursts."""
LEAST_BURST = 2.0
"""Independent failures seem to come together by less than that, in nineteen of twenty times of ten minutes."""

MOST_PATHS = 1000
"""Told apart. A watch may last for days, each minute has new paths, and each look goes through all of them."""


class Row:
    """Requests of a path that failed, since the last one that did not."""

    __slots__ = ("again", "failed")

    def __init__(self) -> None:
        self.failed = 0
        self.again = 0

    def add(self, tally: Tally) -> None:
        """Failures that came with others that did not fail begin no row: their order is not known."""
        if tally.failed < tally.asked:
            self.failed = self.again = 0
        else:
            self.failed += tally.failed
            self.again += tally.again


class Minutes:
    """How the failures of a path are spread over minutes. Pearson's statistic, from sums over the minutes."""

    __slots__ = ("_failed", "_minute", "_of_failures", "_of_requests", "_over", "_requests", "_squares")

    def __init__(self) -> None:
        self._minute = -1
        self._requests = self._failed = 0
        self._over = self._of_requests = self._of_failures = 0
        self._squares = 0.0
        """The sum of failures² / requests."""

    def add(self, minute: int, tally: Tally) -> None:
        if minute != self._minute:
            self._end()
            self._minute = minute
        self._requests += tally.asked
        self._failed += min(tally.failed, tally.asked) - tally.again

    def burst(self) -> float:
        """The variance of failures in a minute by that of independent ones; 1 if that may be chance."""
        self._end()
        share = self._of_failures / self._of_requests if self._of_requests else 0.0
        if self._over < LEAST_MINUTES or not 0 < share < 1:
            return 1.0
        scatter = self._squares - self._of_failures * share
        burst = scatter / (share * (1 - share)) / (self._over - 1)
        return burst if burst >= LEAST_BURST else 1.0

    def _end(self) -> None:
        if self._requests:
            self._over += 1
            self._of_requests += self._requests
            self._of_failures += self._failed
            self._squares += self._failed**2 / self._requests
        self._requests = self._failed = 0


class Gathering:
    def __init__(self) -> None:
        self.paths: dict[str, Tally] = {}
        self._rows: dict[str, Row] = {}
        self._minutes: dict[str, Minutes] = {}
        self._looks: dict[str, int] = {}
        self._looked: dict[str, int] = {}

    def add(self, paths: Mapping[str, Tally], second: int) -> None:
        """What was counted since the last call. `second` is the time, by any clock that does not jump."""
        for path, tally in paths.items():
            if not (tally.requests or tally.errors or tally.waiting or tally.in_vain):
                continue
            if path not in self.paths and len(self.paths) >= MOST_PATHS:
                path = OTHER
            known = self.paths.setdefault(path, Tally({}))
            known.add(tally)
            # Those that had begun to wait before the first call may have ended.
            known.waiting = max(known.waiting, 0)
            if path not in self._rows:
                self._rows[path], self._minutes[path] = Row(), Minutes()
            self._rows[path].add(tally)
            self._minutes[path].add(second // 60, tally)
            if tally.failed > tally.again:
                self._saw(path, second)
                self._saw(ALL, second)

    def side(self, warm: Tally | None = None, seconds: float = 0.0, quiet_s: float = 0.0) -> Side:
        """The parameters are fields of it. Its tallies grow with the next calls of `add`."""
        rows = {path: row for path, row in self._rows.items() if row.failed}
        return Side(
            paths=self.paths,
            in_a_row={path: row.failed for path, row in rows.items()},
            visitors_in_a_row={path: row.failed - row.again for path, row in rows.items()},
            looks={path: self._looks.get(path, 0) for path in (*self.paths, ALL)},
            bursts={path: burst for path, spread in self._minutes.items() if (burst := spread.burst()) > 1},
            warm=warm or Tally(),
            seconds=seconds,
            quiet_s=quiet_s,
        )

    def _saw(self, path: str, second: int) -> None:
        """Looks within one second count as one."""
        if self._looked.get(path) != second:
            self._looked[path] = second
            self._looks[path] = self._looks.get(path, 0) + 1
