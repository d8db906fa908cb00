"""How many requests are in flight, in memory that the daemon shares: it outlives the data plane."""

import mmap
import os
from collections.abc import MutableSequence
from typing import cast

BYTES = 8


def create() -> int:
    """A file descriptor of such memory, with 0 in it."""
    fd = os.memfd_create("in-flight")
    os.ftruncate(fd, BYTES)
    return fd


def attach(fd: int) -> MutableSequence[int]:
    """One number, to be changed in place."""
    return cast("MutableSequence[int]", memoryview(mmap.mmap(fd, BYTES)).cast("q"))


def read(fd: int) -> int:
    return int.from_bytes(os.pread(fd, BYTES, 0), "little", signed=True)
