"""Reads one log with its index, from its oldest rotated file to its end, while an app writes and a daemon rotates.

Nobody locks. A rotation is announced in the index before the log is cut. So whoever reads looks at the index before
and after, and reads again if it has changed.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from slot_machine.host.files.regular import open_regular
from slot_machine.host.log_index.compaction import number_of
from slot_machine.host.log_index.content import base_after, check, data_begin
from slot_machine.host.log_index.records import Blind, Cutting, File, Mark, Output, Point, Record, decoded, index_of

PIECE_BYTES = 262_144
RETRY_S = 0.01
CUT_LIMIT_S = 2.0
"""A rotation that takes longer was begun by a daemon that is dead."""

UNSEEN_S = 3.0
"""As the daemon's: bytes that were written in a longer time without a look have no time."""

T = TypeVar("T")


class Segment(NamedTuple):
    """The bytes between these positions, in this file. Its byte 0 is, or was, at position `base`."""

    begin: int
    end: int
    base: int
    fd: int


class LogView:
    """`marks`, `outputs` and `points` are in the order of their positions, as of the last `refresh`.

    Files stay open, so they can be read when they are deleted, too. Methods raise OSError.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.marks: list[Mark] = []
        self.outputs: list[Output] = []
        self.points: list[Point | Blind] = []
        self.version = 0
        """Changes when the lists begin anew."""
        self._index_fd = -1
        self._index_bytes = 0
        self._file = File(0, 0)
        self._cutting: Cutting | None = None
        self._cuts = 0
        """How many records of rotations were read."""
        self._copies: dict[int, Cutting] = {}
        self._fds: dict[int, int] = {}
        """By inode, as the copies."""
        self._strays: list[Segment] = []
        self._strays = self._steadily(self._without_index)

    def refresh(self) -> bool:
        """Reads what was added to the index. Returns whether a rotation was begun or ended since the last call."""
        index = index_of(self.log)
        before = self._cuts
        try:
            found = index.stat()
            if self._index_fd < 0 or found.st_ino != os.fstat(self._index_fd).st_ino:
                self._reopen(index)
        except FileNotFoundError:
            return False
        added = os.pread(self._index_fd, max(found.st_size - self._index_bytes, 0), self._index_bytes)
        whole = added[: added.rfind(b"\n") + 1]
        self._index_bytes += len(whole)
        for record in decoded(whole):
            self._take(record)
        return before != self._cuts

    @property
    def begin(self) -> int:
        """The position of the oldest byte that is left."""
        return self.segments()[0].begin if self.segments() else 0

    @property
    def end(self) -> int:
        return self.segments()[-1].end if self.segments() else 0

    def segments(self) -> list[Segment]:
        """What there is, in order. A copy and the log have the same bytes until they are cut off. There may be gaps."""
        return self._steadily(self._found)

    def read(self, begin: int, end: int) -> tuple[int, bytes]:
        """Bytes from position `begin` on, or from the next one that still exists. Empty if there are none."""

        def piece() -> tuple[int, bytes]:
            segment = next((segment for segment in self._found() if segment.end > begin), None)
            if segment is None or end <= max(segment.begin, begin):
                return begin, b""
            start = max(segment.begin, begin)
            length = min(segment.end, end, start + PIECE_BYTES) - start
            return start, os.pread(segment.fd, length, start - segment.base)

        return self._steadily(piece)

    def written(self, since: float) -> tuple[float | None, float]:
        """The time of the bytes that the index does not know yet, if it is known, and the latest that it may be.

        `since` is when somebody looked who found none of them.
        """
        try:
            latest = min(self.log.stat().st_mtime, time.time())
        except FileNotFoundError:
            return None, since
        seen = max(since, self.points[-1].time if self.points else 0.0)
        return (max(latest, seen) if latest - seen <= UNSEEN_S else None), latest

    def close(self) -> None:
        for fd in (self._index_fd, *self._fds.values()):
            if fd >= 0:
                os.close(fd)
        self._index_fd, self._fds = -1, {}

    def _steadily(self, look: Callable[[], T]) -> T:
        """What `look` returns while nothing is cut off."""
        give_up_s = time.monotonic() + CUT_LIMIT_S
        while True:
            self.refresh()
            if self._cutting and time.monotonic() < give_up_s:
                time.sleep(RETRY_S)
                continue
            found = look()
            if not self.refresh():
                return found

    def _found(self) -> list[Segment]:
        self._rotated()
        segments = list(self._strays)
        for cutting in sorted(self._copies.values(), key=lambda cutting: cutting.begin):
            fd = self._fds.get(cutting.inode, -1)
            if fd >= 0 and os.fstat(fd).st_size == cutting.end - cutting.begin:
                segments.append(Segment(cutting.begin, cutting.end, cutting.begin, fd))
        live = self._live()
        return segments if live is None else [*segments, live]

    def _live(self) -> Segment | None:
        try:
            inode = self._open(self.log.stat().st_ino, self.log)
        except FileNotFoundError:
            return None
        fd = self._fds[inode]
        base = self._base(inode, fd)
        return Segment(base + data_begin(fd), base + os.fstat(fd).st_size, base, fd)

    def _base(self, inode: int, fd: int) -> int:
        """A file that is not what the index knows is behind everything that it knows."""
        base: int | None = self._file.base
        if self._cutting:
            base = base_after(self._cutting, self._file.base, fd, self.log.with_name(f"{self.log.name}.0"))
        if base is not None and inode == self._file.inode and self._same(fd, base):
            return base
        return max(self._file.base, *(record.end for record in (*self.points[-1:], *self.outputs[-1:])), 0)

    def _same(self, fd: int, base: int) -> bool:
        if not self.points or self.points[-1].end <= base:
            return True
        last = self.points[-1]
        return os.fstat(fd).st_size >= last.end - base and check(fd, last.end - base) == last.check

    def _without_index(self) -> list[Segment]:
        """Rotated files of an earlier release, or that were copied: before everything that the index knows."""
        rotated = self._rotated()
        unknown = [inode for number, inode in sorted(rotated.items()) if number and inode not in self._copies]
        segments: list[Segment] = []
        begin = 0
        for inode in unknown:
            size = os.fstat(self._fds[inode]).st_size
            begin -= size
            segments.insert(0, Segment(begin, begin + size, begin, self._fds[inode]))
        return segments

    def _rotated(self) -> dict[int, int]:
        """By number, their inodes. Opens them."""
        found = {}
        with os.scandir(self.log.parent) as entries:
            for entry in entries:
                number = number_of(self.log, entry.name)
                if number is not None:
                    # If it was renamed or deleted, the index has changed, and whoever needs it looks again.
                    with suppress(FileNotFoundError):
                        found[number] = self._open(entry.inode(), Path(entry.path))
        return found

    def _open(self, inode: int, path: Path) -> int:
        """Returns the inode of the file, which is another one if the path is that of another file by now."""
        if inode in self._fds:
            return inode
        fd = open_regular(path)
        inode = os.fstat(fd).st_ino
        if self._fds.setdefault(inode, fd) != fd:
            os.close(fd)
        return inode

    def _reopen(self, index: Path) -> None:
        if self._index_fd >= 0:
            os.close(self._index_fd)
        self._index_fd, self._index_bytes = open_regular(index), 0
        self._file, self._cutting = File(0, 0), None
        self.version += 1
        for records in (self.marks, self.outputs, self.points, self._copies):
            records.clear()

    def _take(self, record: Record) -> None:
        if isinstance(record, Point | Blind):
            self.points.append(record)
        elif isinstance(record, Mark):
            self.marks.append(record)
        elif isinstance(record, Output):
            last = self.outputs[-1] if self.outputs else None
            if last and (last.end, last.attempt, last.stage) == (record.begin, record.attempt, record.stage):
                record = Output(self.outputs.pop().begin, record.end, record.attempt, record.stage)
            self.outputs.append(record)
        elif isinstance(record, Cutting):
            self._cuts += 1
            self._cutting = record
            self._copies[record.inode] = record
        else:
            self._cuts += 1
            self._file, self._cutting = record, None
