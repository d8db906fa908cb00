"""Finds all descendants of a run, even those that double-forked, called setsid or became daemons of their own.

Each run gets a control group (cgroup v2, cgroups(7)). A process with root's rights can move itself out of it. So
descendants are also found by their session, by a mark in their environment and by their parents.

Where the daemon may not make control groups, it becomes the parent of orphans (PR_SET_CHILD_SUBREAPER, prctl(2)). An
orphan that left its session *and* cleared its environment can't be attributed to a run. It is killed together with the
oldest one.
"""

import asyncio
import contextlib
import ctypes
import functools
import hashlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from slot_machine.host.process import proc
from slot_machine.host.process.proc import Identity

MARK = "SLOT_MACHINE_RUN"
"""A variable in the environment of every process that a daemon starts. Its value names the daemon and the run."""

GROUP_PREFIX = "slot-machine-"
SUBGROUP = "slot-machine"
"""A service's processes are in this group, below its own one, if its unit has `DelegateSubgroup=slot-machine`."""
LIMITING = ("memory", "cpu")
"""The controllers that limit."""
DYING_S = 1.0
DYING_POLL_S = 0.001

PR_SET_CHILD_SUBREAPER = 36
WAIT = 'read -r _ && exec "$@" < /dev/null'
"""The shell waits until it was moved into the group and then becomes the command: nothing runs outside the group."""


class Cgroup:
    """A control group below the daemon's own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, mark: str) -> "Cgroup | None":
        """None where the daemon may not make one. Raises OSError."""
        parent = usable_parent()
        if parent is None:
            return None
        path = parent / group_of(mark)
        path.mkdir()
        path.chmod(0o755)  # Programs read their memory limit there.
        return cls(path)

    def waiting(self, argv: list[str]) -> list[str]:
        """A command that becomes `argv`, with the same pid, after `admit`. Its stdin must be a pipe."""
        return ["/bin/sh", "-c", WAIT, "sh", *argv]

    def admit(self, process: "subprocess.Popen[bytes]") -> None:
        """Moves the process into the group and lets it go on. Kills it if that fails. Raises OSError."""
        assert process.stdin
        with process.stdin as gate:
            try:
                (self.path / "cgroup.procs").write_text(str(process.pid))
                os.write(gate.fileno(), b"\n")
            except OSError:
                process.kill()
                process.wait()
                raise

    def limit(self, memory_bytes: int, cpu_weight: int) -> bool:
        """Limits memory and swap together; 0 is no limit. Returns whether the kernel keeps that limit. Raises OSError.

        `cpu_weight` is relative to 100, which every group has by default.
        """
        if (weight := self.path / "cpu.weight").exists():
            weight.write_text(str(cpu_weight))
        if not (most := self.path / "memory.max").exists():
            return not memory_bytes
        most.write_text(str(memory_bytes or "max"))
        if (swap := self.path / "memory.swap.max").exists():
            swap.write_text("0" if memory_bytes else "max")
        return True

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed because they took too much memory. 0 if nobody counts."""
        try:
            events = dict(line.split() for line in (self.path / "memory.events").read_text().splitlines())
        except (OSError, ValueError):
            return 0
        return int(events.get("oom_kill", 0))

    def processes(self) -> list[int]:
        """Pids, without zombies."""
        return [pid for group in self._groups() for pid in _pids(group)]

    def kill(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.path / "cgroup.kill").write_text("1")

    def remove(self) -> None:
        """Removes the group, with those that the app made inside."""
        for group in self._groups():
            with contextlib.suppress(OSError):
                group.rmdir()

    async def emptied(self) -> None:
        """Waits, at most DYING_S, for dying processes: they are in no list, but keep the group in use."""
        deadline_s = time.monotonic() + DYING_S
        while self._is_populated() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(DYING_POLL_S)

    def _is_populated(self) -> bool:
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text()
        except OSError:
            return False

    def _groups(self) -> list[Path]:
        """The deepest first."""
        return [Path(folder) for folder, _, _ in os.walk(self.path, topdown=False)]


@functools.cache
def usable_parent() -> Path | None:
    """The daemon's own group, if it can make, enter and kill groups in there (Linux 5.14). None else.

    If the own one is called SUBGROUP, it is the one above: there the groups can have limits.
    """
    parent = group_for_runs()
    if parent is None:
        return None
    trial = Cgroup(parent / f"{GROUP_PREFIX}trial-{os.getpid()}")
    try:
        trial.path.mkdir()
        process = subprocess.Popen(trial.waiting(["/bin/true"]), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        trial.admit(process)
        code = process.wait()
        trial.kill()
        if code or not (trial.path / "cgroup.kill").exists():
            return None
        allow_limits(parent)
        return parent
    except OSError:
        return None
    finally:
        trial.remove()


def allow_limits(parent: Path) -> None:
    """Lets the groups in `parent` have limits of memory and CPU, where that is possible. Raises nothing.

    A group that has processes can't give its groups limits, but for the root (cgroups(7), no internal processes). To
    try that with `cpu` alone would make it a group of threads, and no process could enter its groups any more.
    """
    is_root = not (parent / "cgroup.type").exists()
    with contextlib.suppress(OSError):
        known = (parent / "cgroup.controllers").read_text().split()
        for controller in LIMITING if is_root or not _pids(parent) else ():
            if controller in known:
                with contextlib.suppress(OSError):
                    (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def group_for_runs(pid: str = "self") -> Path | None:
    """The control group in which that daemon makes those of its runs. None without cgroup v2. Raises OSError."""
    group = group_of_process(pid)
    return group.parent if group and group.name == SUBGROUP else group


def group_of_process(pid: str = "self") -> Path | None:
    """Its control group. None without cgroup v2. Raises OSError."""
    mount = _cgroup_mount()
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    group = next((line[3:] for line in lines if line.startswith("0::")), "")
    return mount / group.lstrip("/") if mount and group else None


def _cgroup_mount() -> Path | None:
    """Where cgroup v2 is mounted; proc(5) has the form of mountinfo."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("cgroup2 "):
            return Path(fields.split()[4])
    return None


def _pids(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def owner(data: Path) -> str:
    """An id of the daemon with this data folder. The marks of its runs begin with it."""
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:12]


def new_mark(whose: str) -> str:
    """Secret, because a process that bears the mark counts as one of the run."""
    return f"{whose}-{secrets.token_hex(8)}"


def group_of(mark: str) -> str:
    """The name of the run's control group. All users can see it, so it holds only a hash of the mark."""
    return f"{GROUP_PREFIX}{mark.partition('-')[0]}-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"


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
