"""Writes the index of one log. Nothing here raises: no deploy and no rotation fails because of an index."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_machine.host.files.regular import open_regular
from slot_machine.host.log_index.compaction import MOST_BYTES, compacted
from slot_machine.host.log_index.content import base_after, check
from slot_machine.host.log_index.records import (
    Blind,
    Cutting,
    Event,
    File,
    Mark,
    Output,
    Point,
    Record,
    Stage,
    decoded,
    encoded,
    index_of,
    of_kinds,
)

UNSEEN_S = 3.0
"""Bytes that were written in a longer time without a look have no time."""

LAST_BYTES = 4096
"""More than a few records take."""

MOST_WAITING_BYTES = 65_536
"""Of records that a full disk does not take. With more of them, the index begins anew."""

log = logging.getLogger(__name__)


class LogIndex:
    """Its owner locks: one thread at a time. Each `fd` is that of the log, open for reading."""

    def __init__(self, log_path: Path) -> None:
        self._log = log_path
        self._path = index_of(log_path)
        self._loaded = False
        self._base = 0
        self._inode = 0
        self._end = 0
        """The position up to which the log was looked at, at `_looked`, and the digest of what is before it."""
        self._check = 0
        self._looked = 0.0
        self._last: list[Record] = []
        """What an index that is deleted begins anew with."""
        self._furthest = 0
        """No position of a record is behind this one."""
        self._output: Output | None = None
        self._waiting = bytearray()
        self._failure = ""

    def look(self, fd: int) -> None:
        """Notes that the log has grown, if it has. Begins anew if it is another file, or was cut by somebody else."""
        try:
            self._look(fd)
        except OSError as error:
            self._failed(error)

    def mark(self, fd: int, event: Event, text: str, attempt: int = 0, offset: int | None = None) -> None:
        """`offset` is where the log ended when it happened; by default, where it ends now."""
        self.look(fd)
        at = self._end if offset is None else min(self._base + offset, self._end)
        self._append(Mark(at, round(time.time(), 3), event, text, attempt))

    def output(self, begin: int, end: int, attempt: int, stage: Stage) -> None:
        """What is between these offsets is a command's, and not the app's."""
        begin, end = begin + self._base, end + self._base
        self._furthest = max(self._furthest, end)
        last = self._output
        if last and (last.end, last.attempt, last.stage) == (begin, attempt, stage):
            begin = last.begin
        else:
            self.end_output()
        self._output = Output(begin, end, attempt, stage)

    def end_output(self) -> None:
        if self._output:
            self._append(self._output)
        self._output = None

    def cutting(self, fd: int, begin: int, end: int, inode: int) -> None:
        """The bytes between these offsets are about to be cut off."""
        self.look(fd)
        self._append(Cutting(self._base + begin, self._base + end, inode))

    def cut(self, fd: int, shift: int) -> None:
        """What is left has moved by so many bytes; 0 if there is a hole now, or if nothing was cut off."""
        self._base += shift
        self._append(File(self._base, os.fstat(fd).st_ino))

    def close(self) -> None:
        """Another daemon goes on: it learns from the time of the file when this one has looked for the last time."""
        self.end_output()
        try:
            if self._path.exists():
                os.utime(self._path)
        except OSError as error:
            self._failed(error)

    def _look(self, fd: int) -> None:
        found = os.fstat(fd)
        if not self._loaded:
            self._load(fd)
        self.end_output()  # First: whoever reads takes what is before a point for complete.
        now, size = time.time(), found.st_size
        if found.st_ino != self._inode or not self._same(fd, size):
            self._begin_anew(fd, found)
        elif self._base + size > self._end:
            blind = found.st_mtime - self._looked > UNSEEN_S
            written = min(max(found.st_mtime, self._looked), now)
            self._note(fd, self._base + size, written, blind=blind)
        self._looked = now
        if self._path.exists() and self._path.stat().st_size > MOST_BYTES:
            self._compact()

    def _same(self, fd: int, size: int) -> bool:
        end = self._end - self._base
        return size >= end and check(fd, end) == self._check

    def _begin_anew(self, fd: int, found: os.stat_result) -> None:
        """Better no time than a wrong one: what is in the log now has none."""
        self._base, self._inode = max(self._end, self._furthest), found.st_ino
        self._output = None
        self._append(File(self._base, self._inode))
        self._note(fd, self._base + found.st_size, found.st_mtime, blind=True)

    def _note(self, fd: int, end: int, written: float, *, blind: bool) -> None:
        self._end, self._check = end, check(fd, end - self._base)
        self._furthest = max(self._furthest, end)
        self._append((Blind if blind else Point)(end, _tenths(written), self._check))
        self._last = [Blind(end, _tenths(written), self._check)]

    def _load(self, fd: int) -> None:
        """Where the last daemon left off."""
        with os.fdopen(open_regular(self._path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW), "rb") as file:
            content, found = file.read(), os.fstat(file.fileno())
        self._loaded = True
        self._looked = found.st_mtime if content else 0.0
        if content and not content.endswith(b"\n"):
            self._waiting += b"\n"
        cutting: Cutting | None = None
        for record in decoded(of_kinds(content, "file", "cut", "output")):
            if isinstance(record, File):
                self._base, self._inode, cutting = record.base, record.inode, None
            elif isinstance(record, Cutting):
                cutting = record
            elif isinstance(record, Output):
                self._furthest = record.end
        for record in decoded(of_kinds(content, "p", "u")[-LAST_BYTES:]):
            if isinstance(record, Point | Blind):
                self._end, self._check = record.end, record.check
        self._furthest = max(self._furthest, self._end, self._base)
        if cutting:
            self._recover(fd, cutting)

    def _recover(self, fd: int, cutting: Cutting) -> None:
        """After a daemon that was killed in a rotation."""
        base = base_after(cutting, self._base, fd, self._log.with_name(f"{self._log.name}.0"))
        if base is None:
            self._inode = 0
        else:
            self._base = base
            self._append(File(base, self._inode))

    def _append(self, record: Record) -> None:
        self._waiting += encoded(record)
        if not self._loaded:
            return
        try:
            with _appending(self._path) as fd:
                if not os.fstat(fd).st_size and not isinstance(record, File):
                    # Somebody has deleted the index. The times in it are lost.
                    known = [File(self._base, self._inode), *self._last]
                    self._waiting[:0] = b"".join(map(encoded, known))
                while self._waiting:
                    del self._waiting[: os.write(fd, self._waiting)]
            self._failure = ""
        except OSError as error:
            self._failed(error)

    def _compact(self) -> None:
        kept = compacted(self._log, self._path.read_bytes())
        unfinished = self._path.with_name(f"{self._path.name}.part")
        unfinished.unlink(missing_ok=True)
        try:
            with _appending(unfinished) as fd:
                if os.write(fd, kept) == len(kept):
                    unfinished.rename(self._path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> None:
        if str(error) != self._failure:
            log.error("cannot write %s: %s", self._path, error)
        self._failure = str(error)
        if len(self._waiting) > MOST_WAITING_BYTES:
            self._waiting.clear()
            self._inode = 0


@contextmanager
def _appending(path: Path) -> Iterator[int]:
    """Closed after each use, because somebody may delete the file. Raises OSError."""
    fd = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)


def _tenths(time_s: float) -> float:
    """Rounded down, so that no line seems to come in a later second than a mark behind it."""
    return int(time_s * 10) / 10
