"""The number of requests in flight, in memory that the daemon shares, so that it outlives the worker."""

import mmap
import os
from collections.abc import MutableSequence
from typing import cast

BYTES = 8


def create() -> int:
    """The file descriptor of such memory. The number is 0."""
    fd = os.memfd_create("in-flight")
    os.ftruncate(fd, BYTES)
    return fd


def attach(fd: int) -> MutableSequence[int]:
    """The memory as a sequence of one number. Setting its item changes the number."""
    return cast("MutableSequence[int]", memoryview(mmap.mmap(fd, BYTES)).cast("q"))


def read(fd: int) -> int:
    return int.from_bytes(os.pread(fd, BYTES, 0), "little", signed=True)
