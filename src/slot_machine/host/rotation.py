"""Rotates a log while the app writes to it: the head of the file is copied to `.1`, `.2` ... and cut off in place.

The app has the file open (O_APPEND), so it must stay the same file. Its head is copied, then exactly that part is
removed. If a file system can't remove a part (tmpfs, btrfs), the part becomes a hole, which takes no space and reads as
NUL bytes. Bytes written during the rotation stay, and each byte is in a file at every moment, even if the daemon is
killed.
"""

import ctypes
import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_machine.host.files.regular import open_regular
from slot_machine.host.log_index.content import data_begin
from slot_machine.host.log_index.records import Event, Stage
from slot_machine.host.log_index.writer import LogIndex

SPARED_BYTES = 16_384
"""The end of the file, which is never cut off: deploys and people read it."""

MOST_AT_ONCE = 1000
"""Times `max_bytes`: the most that is deleted in one step. The kernel frees some thousand pieces a second."""

KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE = 1, 2, 8  # linux/falloc.h

_libc = ctypes.CDLL(None, use_errno=True)


class LogFile:
    """A log to which another process appends.

    `shifted` counts the bytes that were cut off at its beginning. Hold `lock` while you relate an offset to it.
    """

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self.path = path
        self.shifted = 0
        self.lock = threading.Lock()
        self._index = LogIndex(path)
        self._max_bytes = max_bytes
        self._keep = keep

    def look(self) -> None:
        """Notes in the index that the log has grown. Raises nothing."""
        with self._reading() as fd:
            if fd is not None:
                self._index.look(fd)

    def mark(self, event: Event, text: str, attempt: int, begin: int | None) -> None:
        """`begin` is as in `SlotLog`. Raises nothing."""
        with self._reading() as fd:
            if fd is not None:
                self._index.mark(fd, event, text, attempt, None if begin is None else max(begin - self.shifted, 0))

    def output(self, begin: int, end: int, attempt: int, stage: Stage) -> None:
        """The bytes between these offsets are a command's. Whoever calls this holds the lock."""
        self._index.output(begin, end, attempt, stage)

    def close(self) -> None:
        with self.lock:
            self._index.close()

    @contextmanager
    def _reading(self) -> Iterator[int | None]:
        """Holds the lock. None if the log can't be read."""
        with self.lock:
            try:
                fd = open_regular(self.path)
            except OSError:
                yield None
                return
            try:
                yield fd
            finally:
                os.close(fd)

    def rotate(self) -> None:
        """Cuts heads off until the file is within `max_bytes`, unless the app writes faster. Blocks.

        Raises OSError; EOPNOTSUPP if the file system can neither remove a part nor make a hole.
        """
        try:
            fd = open_regular(self.path, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            with self.lock:
                self._index.look(fd)  # First, because a rotation that was killed is completed there, too.
            self._complete(fd)
            most = self._keep + 2
            for _ in range(most + 1):
                size = _data_size(fd)
                if size <= self._max_bytes + SPARED_BYTES:
                    return
                # More than all numbered files can hold: the oldest part is deleted without a copy.
                lost = min(max(-(-size // self._max_bytes) - most, 0), MOST_AT_ONCE)
                end = _head_end(fd, max(lost, 1) * self._max_bytes, self._max_bytes // 2)
                copy = 0 if lost else self._copy(fd, end)
                self._cut_off(fd, end, copy)
                for _ in range(min(max(lost, 1), most)):
                    self._renumber()
        finally:
            os.close(fd)

    def _complete(self, fd: int) -> None:
        """Completes a rotation after a kill: number 0 becomes 1 if its bytes are cut off; else it is deleted."""
        copy = self._numbered(0)
        if not copy.exists():
            return
        if os.pread(fd, copy.stat().st_size, data_begin(fd)) == copy.read_bytes():
            copy.unlink()
        else:
            self._renumber()

    def _copy(self, fd: int, end: int) -> int:
        """Copies the head to number 0, synced to disk. It is complete whether or not the head is cut off yet.

        Returns the inode of the copy.
        """
        self._numbered(self._keep).unlink(missing_ok=True)
        unfinished = self.path.with_name(f"{self.path.name}.part")
        unfinished.unlink(missing_ok=True)
        fd_of_copy = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd_of_copy, "wb") as copy:
                _append(copy.fileno(), fd, data_begin(fd), end)
                os.fsync(copy)
        except OSError:
            unfinished.unlink()
            raise
        unfinished.rename(self._numbered(0))
        return self._numbered(0).stat().st_ino

    def _cut_off(self, fd: int, end: int, copy: int) -> None:
        """`copy` is the inode of the copy; 0 if there is none."""
        os.fdatasync(fd)  # First, because writers wait during the cut.
        begin, shift = data_begin(fd), 0
        with self.lock:
            self._index.cutting(fd, begin, end, copy)
            try:
                shift = _cut_off(fd, end)
                self.shifted += shift
            finally:
                self._index.cut(fd, shift)
            size = f"{(end - begin) / 1e6:.1f} MB"
            where = f"{size} of it are in a file of their own" if copy else f"{size} of it were too many, and are lost"
            self._index.mark(fd, "rotation", f"log rotated: {where}")

    def _renumber(self) -> None:
        for number in reversed(range(self._keep)):
            if self._numbered(number).exists():
                self._numbered(number).rename(self._numbered(number + 1))
        for path in self.path.parent.glob(f"{self.path.name}.*"):
            suffix = path.suffix[1:]
            if suffix.isdecimal() and int(suffix) > self._keep:
                path.unlink()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _data_size(fd: int) -> int:
    return os.fstat(fd).st_size - data_begin(fd)


def _head_end(fd: int, max_bytes: int, within: int) -> int:
    """The last block boundary at which a line ends, else the last one at all. Only whole blocks can be cut off."""
    block = os.fstatvfs(fd).f_bsize
    last = (data_begin(fd) + max_bytes) // block * block
    for end in range(last, last - within, -block):
        if os.pread(fd, 1, end - 1) == b"\n":
            return end
    return last


def _append(target: int, source: int, begin: int, end: int) -> None:
    while begin < end and (sent := os.sendfile(target, source, begin, end - begin)):
        begin += sent


def _cut_off(fd: int, end: int) -> int:
    """Removes the bytes before `end`. Returns by how many bytes the rest has moved: 0 if a hole was made."""
    try:
        _fallocate(fd, COLLAPSE_RANGE, end)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        _fallocate(fd, PUNCH_HOLE | KEEP_SIZE, end)
        if data_begin(fd) < end:
            raise OSError(errno.EOPNOTSUPP, "the file system does not tell where a hole ends") from None
        return 0
    return end


def _fallocate(fd: int, mode: int, length: int) -> None:
    call = getattr(_libc, "fallocate64", _libc.fallocate)
    if call(fd, mode, ctypes.c_int64(0), ctypes.c_int64(length)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
