"""How much disk space and memory is free, and how much is in use."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from slot_machine.host.files import foldersize
from slot_machine.host.process import commands, proc
from slot_machine.host.process.environment import inherited
from slot_machine.host.user import rights

MEASURED_WITHIN_S = 600.0


class Size(msgspec.Struct, frozen=True):
    bytes: int
    inodes: int


def free(folder: Path) -> Size:
    """What the daemon may still use on the folder's file system. Raises OSError."""
    status = os.statvfs(folder)
    # btrfs and others make inodes on demand, and report 0 of 0.
    inodes = status.f_favail if status.f_files else sys.maxsize
    return Size(status.f_bavail * status.f_frsize, inodes)


def megabytes(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB"


async def measure(folder: Path, owner: str, limit_s: float = MEASURED_WITHIN_S) -> Size | None:
    """The size of a folder with all its files. None if it does not exist. Counts in a process of its own.

    Raises OSError after `limit_s`: `user` may stop that process, which has its rights.
    """
    user = rights.other()
    # `user` may have no access to this Python, so the daemon starts it and the program changes its user.
    argv = [sys.executable, "-IS", foldersize.__file__, str(folder), *([str(user.uid), str(user.gid)] if user else [])]
    try:
        async with asyncio.timeout(limit_s):
            code, out, _ = await commands.run(argv, folder.parent, inherited(), owner, as_daemon=True)
    except TimeoutError:
        raise OSError(f"cannot measure {folder} within {limit_s:g} s") from None
    return Size(*map(int, out.split())) if code == 0 else None


def available_memory() -> int:
    """Bytes that programs can still get without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return sys.maxsize


def proportional_bytes(pid: int) -> int:
    """The proportional set size (PSS) of a process. 0 if it is gone.

    The kernel needs some milliseconds for each gigabyte.
    """
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return proc.resident_bytes(pid)
    return sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
