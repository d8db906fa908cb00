"""What `logs` shows: the lines and marks of all logs of an app, in the order of their times."""

import heapq
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from slot_machine.core.errors import NoLogs
from slot_machine.core.model import WEB
from slot_machine.host.log_index.cursor import Cursor, Entry, line_begin, since
from slot_machine.host.log_index.records import Mark
from slot_machine.host.log_index.view import LogView

POLL_S = 0.25
PATIENCE_S = 2.0
"""So long a new line waits for its time, which the daemon writes down each second."""

FIRST_BYTES = 65_536
NAME = re.compile(r"slot-([ab])(?:\.(.+))?\.log")


class Wanted(NamedTuple):
    """`most` entries at most; None for all. `since` is in seconds since 1970. `attempt` is 0 for all attempts.

    With `follow`, a last line that the app may go on with waits for its end.
    """

    most: int | None = None
    since: float = 0.0
    process: str = ""
    slot: str = ""
    setup: bool = False
    attempt: int = 0
    follow: bool = False


class Log:
    """One log. `process` is that of its run: `web`, `worker`, `worker.2`, or `cron.nightly` for a job."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.slot, self.process = _whose(path)
        self._view = LogView(path)
        self._wanted = wanted
        self._cursor = Cursor(self._view, self._begin())
        self._within = False
        self._waits_since_s = 0.0
        self._seen = 0.0

    def history(self) -> Iterator[Entry]:
        """What is there now. `new` goes on at its end."""
        count, begin, end = self._wanted.most, self._begin(), self._view.end
        self._seen = time.time()
        if count is None or self._wanted.attempt:
            yield from self._entries(begin, end)
            return
        size, last = FIRST_BYTES, deque[Entry](maxlen=count)
        while True:
            start = max(line_begin(self._view, end - size), begin) if end - size > begin else begin
            last.clear()
            last.extend(self._entries(start, end))
            if len(last) == count or start == begin:
                yield from last
                return
            size *= 8

    def new(self) -> Iterator[Entry]:
        """What has come since, as far as the index knows the times of it."""
        now_s, seen = time.monotonic(), self._seen
        end = self._view.end
        self._seen = time.time()
        self._cursor.position = min(self._cursor.position, end)
        known = self._view.points[-1].end if self._view.points else 0
        if end <= known or end <= self._cursor.position:
            self._waits_since_s = now_s
        if now_s - self._waits_since_s < PATIENCE_S:
            end = min(end, known)
        yield from filter(self._shown, self._cursor.entries(end, seen, whole=False))

    def has_attempt(self) -> bool:
        """Whether anything of the attempt that is wanted is left."""
        attempts = {mark.attempt for mark in self._view.marks} | {output.attempt for output in self._view.outputs}
        return self._wanted.attempt in attempts

    def _begin(self) -> int:
        """The position of the first entry that can be wanted."""
        first, view, attempt = self._view.begin, self._view, self._wanted.attempt
        if attempt:
            marked = [mark.at for mark in view.marks if mark.attempt == attempt]
            printed = [output.begin for output in view.outputs if output.attempt == attempt]
            return max(min([*marked, *printed], default=view.end), first)
        return max(since(view, self._wanted.since), first) if self._wanted.since else first

    def _entries(self, begin: int, end: int) -> Iterator[Entry]:
        self._cursor = Cursor(self._view, begin)
        return filter(self._shown, self._cursor.entries(end, 0.0, whole=not self._wanted.follow))

    def _shown(self, entry: Entry) -> bool:
        if entry.order < self._wanted.since:
            return False
        if self._wanted.attempt:
            return self._of_attempt(entry)
        return self._wanted.setup or not entry.stage

    def _of_attempt(self, entry: Entry) -> bool:
        """Its marks, what its commands printed, and what the app printed from its start until it was live or ended."""
        ours, content = entry.attempt == self._wanted.attempt, entry.content
        if entry.stage:
            return ours
        before = self._within
        if isinstance(content, Mark):
            if content.event != "rotation":
                self._within = ours and content.event == "start" and self.process == WEB
            return before or ours
        return before


class Logs:
    """The logs in the data folder that are wanted. Raises NoLogs."""

    def __init__(self, data: Path, wanted: Wanted) -> None:
        self._data = data
        self._wanted = wanted
        self._logs: dict[Path, Log] = {}
        self._open()
        if not self._logs:
            raise _nothing(data, wanted)
        if wanted.attempt and not any(log.has_attempt() for log in self._logs.values()):
            raise NoLogs(
                f"no log in {data} has anything of attempt {wanted.attempt}", "`slot-machine history` lists them"
            )

    def history(self) -> Iterable[tuple[Log, Entry]]:
        merged = heapq.merge(*(_of(log, log.history()) for log in self._logs.values()), key=_order)
        return merged if self._wanted.most is None else deque(merged, maxlen=self._wanted.most)

    def follow(self) -> Iterator[list[tuple[Log, Entry]]]:
        """What comes after `history`, a batch each quarter second. Does not end."""
        while True:
            time.sleep(POLL_S)
            self._open()
            yield sorted((found for log in self._logs.values() for found in _of(log, log.new())), key=_order)

    def _open(self) -> None:
        for path in sorted(self._data.glob("slot-*.log")):
            if path not in self._logs and NAME.fullmatch(path.name) and _is_wanted(path, self._wanted):
                self._logs[path] = Log(path, self._wanted)


def _of(log: Log, entries: Iterator[Entry]) -> Iterator[tuple[Log, Entry]]:
    return ((log, entry) for entry in entries)


def _order(of: tuple[Log, Entry]) -> float:
    return of[1].order


def _whose(log: Path) -> tuple[str, str]:
    """The slot, and the process or job."""
    match = NAME.fullmatch(log.name)
    assert match
    return match[1], match[2] or WEB


def _is_wanted(log: Path, wanted: Wanted) -> bool:
    slot, process = _whose(log)
    names = {process, process.rpartition(".")[0] if process.rpartition(".")[2].isdecimal() else process}
    names |= {name.removeprefix("cron.") for name in names}
    return wanted.slot in ("", slot) and (not wanted.process or wanted.process in names)


def _nothing(data: Path, wanted: Wanted) -> NoLogs:
    found = sorted({_whose(path)[1] for path in data.glob("slot-*.log") if NAME.fullmatch(path.name)})
    if not found:
        return NoLogs(f"there are no logs in {data}", "an app has logs from its first deploy on")
    what = f"process {wanted.process!r}" if wanted.process else "such a process"
    where = f" in slot {wanted.slot}" if wanted.slot else ""
    return NoLogs(f"there is no log of {what}{where} in {data}", f"there are logs of: {', '.join(found)}")
