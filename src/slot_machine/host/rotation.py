"""Rotation under the hands of a writer: the head of a log file becomes `.1`, `.2` ... and is cut off in place.

The app holds the file open (O_APPEND), and nothing stands between it and the file. So the file stays the same file: its
head is copied, and exactly that part is taken away. Where a file system has no way to do that (tmpfs, btrfs), the part
becomes a hole, which takes no space and reads as NUL bytes. Whatever is written meanwhile stays untouched, and at no
moment is a byte in none of the files, whenever the daemon is killed.
"""

import ctypes
import errno
import os
import threading
from pathlib import Path

from slot_machine.host.files.regular import open_regular

SPARED_BYTES = 16_384
"""What stays in the file in any case, for whoever looks at its end."""

MOST_AT_ONCE = 1000
"""Times `max_bytes` of a flood: of a file of holes, the kernel frees some thousand pieces a second."""

KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE = 1, 2, 8  # linux/falloc.h

_libc = ctypes.CDLL(None, use_errno=True)


class LogFile:
    """A log that another process appends to. `shifted`: by how many bytes its contents have moved to its beginning.

    Whoever relates an offset to `shifted` holds `lock` meanwhile.
    """

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self.path = path
        self.shifted = 0
        self.lock = threading.Lock()
        self._max_bytes = max_bytes
        self._keep = keep

    def rotate(self) -> None:
        """Moves heads away until what is left is within `max_bytes`, as far as the writer lets it. Blocks.

        Raises OSError; with EOPNOTSUPP, the file system can't do it at all.
        """
        try:
            fd = open_regular(self.path, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            self._complete(fd)
            most = self._keep + 2
            for _ in range(most + 1):
                size = _data_size(fd)
                if size <= self._max_bytes + SPARED_BYTES:
                    return
                # What is further behind than that would be the next to go: no flood is copied only to be deleted.
                lost = min(max(-(-size // self._max_bytes) - most, 0), MOST_AT_ONCE)
                end = _head_end(fd, max(lost, 1) * self._max_bytes, self._max_bytes // 2)
                if not lost:
                    self._copy(fd, end)
                self._cut_off(fd, end)
                for _ in range(min(max(lost, 1), most)):
                    self._renumber()
        finally:
            os.close(fd)

    def _complete(self, fd: int) -> None:
        """After a daemon that was killed: what it copied is numbered if it was cut off already, else copied again."""
        copy = self._numbered(0)
        if not copy.exists():
            return
        if os.pread(fd, copy.stat().st_size, _data_begin(fd)) == copy.read_bytes():
            copy.unlink()
        else:
            self._renumber()

    def _copy(self, fd: int, end: int) -> None:
        """Number 0 is a whole copy, on disk, of what may or may not be cut off already."""
        self._numbered(self._keep).unlink(missing_ok=True)
        unfinished = self.path.with_name(f"{self.path.name}.part")
        unfinished.unlink(missing_ok=True)
        fd_of_copy = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd_of_copy, "wb") as copy:
                _append(copy.fileno(), fd, _data_begin(fd), end)
                os.fsync(copy)
        except OSError:
            unfinished.unlink()
            raise
        unfinished.rename(self._numbered(0))

    def _cut_off(self, fd: int, end: int) -> None:
        os.fdatasync(fd)  # Else the writer waits for that, as it is shut out during the cut.
        with self.lock:
            self.shifted += _cut_off(fd, end)

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


def _data_begin(fd: int) -> int:
    """Where the hole ends that an earlier cut may have left."""
    try:
        return os.lseek(fd, 0, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return os.fstat(fd).st_size


def _data_size(fd: int) -> int:
    return os.fstat(fd).st_size - _data_begin(fd)


def _head_end(fd: int, max_bytes: int, within: int) -> int:
    """A block boundary, as only whole blocks can be cut off: one where a line ends if there is such, else the last."""
    block = os.fstatvfs(fd).f_bsize
    last = (_data_begin(fd) + max_bytes) // block * block
    for end in range(last, last - within, -block):
        if os.pread(fd, 1, end - 1) == b"\n":
            return end
    return last


def _append(target: int, source: int, begin: int, end: int) -> None:
    while begin < end and (sent := os.sendfile(target, source, begin, end - begin)):
        begin += sent


def _cut_off(fd: int, end: int) -> int:
    """Returns by how many bytes the rest moved."""
    try:
        _fallocate(fd, COLLAPSE_RANGE, end)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        _fallocate(fd, PUNCH_HOLE | KEEP_SIZE, end)
        if _data_begin(fd) < end:
            raise OSError(errno.EOPNOTSUPP, "the file system does not tell where a hole ends") from None
        return 0
    return end


def _fallocate(fd: int, mode: int, length: int) -> None:
    call = getattr(_libc, "fallocate64", _libc.fallocate)
    if call(fd, mode, ctypes.c_int64(0), ctypes.c_int64(length)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
