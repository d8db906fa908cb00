"""Finds all descendants of a run, even those that double-forked, called setsid or became daemons of their own.

Each run gets a control group (cgroup v2, cgroups(7)). A process with root's rights can move itself out of it. So
descendants are also found by their session, by a mark in their environment and by their parents.

Where the daemon may not make control groups, it becomes the parent of orphans (PR_SET_CHILD_SUBREAPER, prctl(2)). An
orphan that left its session *and* cleared its environment can't be attributed to a run. It is killed together with the
oldest one.
"""

import contextlib
import ctypes
import hashlib
import os
import secrets
import signal
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from slot_machine.host.process import proc
from slot_machine.host.process.cgroup import GROUP_PREFIX, Cgroup, group_of, usable_parent
from slot_machine.host.process.proc import Identity

MARK = "SLOT_MACHINE_RUN"
"""A variable in the environment of every process that a daemon starts. Its value names the daemon and the run."""

PR_SET_CHILD_SUBREAPER = 36


def owner(data: Path) -> str:
    """An id of the daemon with this data folder. The marks of its runs begin with it."""
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:12]


def new_mark(whose: str) -> str:
    """Secret, because a process that bears the mark counts as one of the run."""
    return f"{whose}-{secrets.token_hex(8)}"


async def end_unknown(whose: str, known: set[str]) -> list[int]:
    """Kills all processes that bear a mark of this owner which is not among the known ones. Returns their pids.

    There are such if a daemon was killed after it had started a process and before it had saved that.
    """
    known = known | {mark_of(os.getpid())}  # The daemon itself may have been started by an app.
    # Earlier releases named the group by the mark itself.
    groups = {name for mark in known for name in (group_of(mark), f"{GROUP_PREFIX}{mark}")}
    parent = usable_parent()
    for path in parent.glob(f"{GROUP_PREFIX}{whose}-*") if parent else ():
        if path.name not in groups:
            group = Cgroup(path)
            group.kill()
            await group.emptied()
            group.remove()
    marks = {pid: mark_of(pid) for pid, _ in proc.stats()}
    unknown = {pid: mark for pid, mark in marks.items() if mark.startswith(f"{whose}-") and mark not in known}
    return [pid for pid, mark in unknown.items() if await _killed(pid, mark)]


async def _killed(pid: int, mark: str) -> bool:
    """Kills a process with that mark. Returns False if it is gone, or may not be signalled."""
    with contextlib.ExitStack() as stack, contextlib.suppress(ProcessLookupError, PermissionError):
        pidfd = os.pidfd_open(pid)
        stack.callback(os.close, pidfd)
        # Checked again: before the pidfd was opened, the kernel may have given the pid to another process.
        if mark_of(pid) == mark:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await proc.readable(pidfd)
            return True
    return False


def descendants(leader: int | None, run: Identity, seeds: Mapping[int, int]) -> dict[int, int]:
    """The processes of the leader's session, those with the run's mark, the seeds, and all descendants of these.

    Seeds and result map pids to start times, in ticks since the boot. Zombies, and processes that are older than the
    run, are left out.
    """
    young = {pid: stat for pid, stat in proc.stats() if not stat.is_zombie and stat.start_ticks >= run.start_ticks}
    found = {pid for pid, stat in young.items() if seeds.get(pid) == stat.start_ticks or stat.session == leader}
    found |= {pid for pid in young.keys() - found if run.mark and mark_of(pid) == run.mark}
    while grown := {pid for pid, stat in young.items() if stat.parent in found} - found:
        found |= grown
    return {pid: young[pid].start_ticks for pid in sorted(found - {os.getpid()})}


def mark_of(pid: int) -> str:
    """Empty for a process without a mark, and where the environment may not be read."""
    name = f"{MARK}=".encode()
    found = next((pair for pair in proc.environ(pid).split(b"\0") if pair.startswith(name)), b"")
    return found[len(name) :].decode(errors="replace")


def adopt_orphans() -> None:
    """Makes the daemon the parent of orphans, where there are no control groups to find them."""
    if usable_parent() is None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def orphans(leaders: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The pid and start ticks of each child of the daemon that bears no mark and is in none of these sessions."""
    known = set(leaders)
    for pid, stat in proc.stats():
        is_orphan = stat.parent == os.getpid() and not stat.is_zombie
        if is_orphan and not known & {pid, stat.session} and not mark_of(pid):
            yield pid, stat.start_ticks


class OrphanReaper:
    """Reaps children that nobody waits for: orphans, and those that the daemon started before a reload."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def reap(self, leaders: Iterable[int]) -> None:
        """Reaps zombies that the previous call has seen already. So whoever waits for its own child comes first."""
        known = set(leaders)
        dead = {pid for pid, stat in proc.stats() if stat.parent == os.getpid() and stat.is_zombie and pid not in known}
        for pid in dead & self._seen:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = dead
