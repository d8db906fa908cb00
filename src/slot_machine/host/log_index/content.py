"""What of a log's bytes is compared, to find out whether an index still belongs to it."""

import errno
import os
import zlib
from pathlib import Path

from slot_machine.host.log_index.records import Cutting

CHECKED_BYTES = 64


def data_begin(fd: int) -> int:
    """The end of the hole that an earlier rotation may have left at the beginning."""
    try:
        return os.lseek(fd, 0, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return os.fstat(fd).st_size


def check(fd: int, end: int) -> int:
    """A digest of the last bytes before the offset `end`."""
    begin = max(end - CHECKED_BYTES, 0)
    return zlib.crc32(os.pread(fd, end - begin, begin)) & 0xFFFF


def base_after(cutting: Cutting, base: int, fd: int, copy: Path) -> int | None:
    """The position of the log's byte 0, if a rotation was begun at `base` and may not have ended; None if unknown.

    `copy` is the first rotated file, before it is numbered.
    """
    begin = data_begin(fd)
    if begin >= cutting.end - base:
        return base
    try:
        copied = copy.read_bytes()
    except OSError:
        return None
    return base if os.pread(fd, len(copied), begin) == copied else cutting.end
