"""What /proc tells of the machine's processes, and waiting for them through pidfds."""

import asyncio
import functools
import os
import select
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

LONGEST_NAME = 200
"""Of a process in a message, in characters."""

OUT_OF_SIGHT = (FileNotFoundError, ProcessLookupError, PermissionError)


class Identity(msgspec.Struct, frozen=True):
    """A session beyond its leader's pid, which the kernel uses again: `start_ticks` since the boot with this `boot_id`.

    `mark` is in the environment of all that came of it, `cgroup` the folder of its control group where it has one.
    """

    pid: int
    start_ticks: int
    boot_id: str
    mark: str = ""
    cgroup: str = ""


def identify(pid: int, mark: str = "", cgroup: str = "") -> Identity:
    """With `start_ticks` of 0 for a process that may not be seen. Raises ProcessLookupError."""
    fields = stat(pid)
    if fields is None and may_signal(pid):
        raise ProcessLookupError(f"no process {pid}")
    return Identity(pid, start_ticks(fields) if fields else 0, boot_id(), mark, cgroup)


def is_running(identity: Identity) -> bool:
    fields = stat(identity.pid)
    return (
        fields is not None
        and not is_zombie(fields)
        and (start_ticks(fields), boot_id()) == (identity.start_ticks, identity.boot_id)
    )


@functools.cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from `state` on (field 3 in proc(5)); the name before them may contain anything.

    None for a process that is gone, or that may not be seen (`hidepid`).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b") ")[2].decode().split()
    except OUT_OF_SIGHT:
        return None


def stats() -> Iterator[tuple[int, list[str]]]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := stat(int(name))):
            yield int(name), fields


def is_zombie(fields: list[str]) -> bool:
    return fields[0] in "ZX"


def parent(fields: list[str]) -> int:
    return int(fields[1])


def session(fields: list[str]) -> int:
    return int(fields[3])


def start_ticks(fields: list[str]) -> int:
    return int(fields[19])


def no_new_privileges() -> bool:
    """Whether it is set for the daemon, and so for all that it starts (PR_SET_NO_NEW_PRIVS, prctl(2))."""
    return "\nNoNewPrivs:\t1\n" in Path("/proc/self/status").read_text()


def child_tree(pid: int) -> Iterator[int]:
    """Without a look at all of the machine's processes; those that may not be seen are among them. proc_pid_task(5)

    Orphans are not, and with a kernel without CONFIG_PROC_CHILDREN nobody is.
    """
    waiting = [pid]
    while waiting:
        children = list(_children(waiting.pop()))
        waiting += children
        yield from children


def _children(pid: int) -> Iterator[int]:
    with suppress(*OUT_OF_SIGHT):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(*OUT_OF_SIGHT):
                yield from map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())


def uids(pid: int) -> set[int]:
    """Real, effective, saved, and of file access. Empty for a process that is gone, or that may not be seen."""
    with suppress(*OUT_OF_SIGHT):
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            if line.startswith(b"Uid:"):
                return {int(uid) for uid in line.split()[1:]}
    return set()


def environ(pid: int) -> bytes:
    """`NAME=value` pairs as they were at the process's start, each ended by a NUL. Empty where it may not be read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def named(pid: int) -> str:
    """Its number and command line, in one line that can be printed: `123 (node server.js)`."""
    return f"{pid} ({''.join(char if char.isprintable() else '?' for char in command_line(pid)[:LONGEST_NAME])})"


def open_files(pid: int) -> Iterator[str]:
    """What its file descriptors stand for: a path, or such as `socket:[INODE]`. Nothing where it may not be read."""
    with suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{fd}")


def find_with_open(files: set[str]) -> int | None:
    """A process that has one of these open."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return next((pid for pid in pids if not files.isdisjoint(open_files(pid))), None)


def resident_bytes(pid: int) -> int:
    """0 for a process that is gone, or that may not be seen."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OUT_OF_SIGHT:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def may_signal(pid: int) -> bool:
    """False for another user's process. True for one that is gone."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    except ProcessLookupError:
        pass
    return True


async def gone(pid: int) -> None:
    """Waits for any process of this machine to end."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await readable(pidfd)
    finally:
        os.close(pidfd)


async def readable(fd: int) -> None:
    """Waits on a file descriptor of its own copy, so that several can wait for the same process."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    copy = os.dup(fd)
    loop.add_reader(copy, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(copy)
        os.close(copy)


def is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
