"""Control groups (cgroup v2, cgroups(7)): one for each run, with its limits; all in it is killed in one step."""

import asyncio
import contextlib
import functools
import hashlib
import os
import subprocess
import time
from pathlib import Path

GROUP_PREFIX = "slot-machine-"

SUBGROUP = "slot-machine"
"""A service's processes are in this group, below its own one, if its unit has `DelegateSubgroup=slot-machine`."""

LIMITING = ("memory", "cpu")
"""The controllers that limit."""

DYING_S = 1.0

DYING_POLL_S = 0.001

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
    mount = _mount()
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    group = next((line[3:] for line in lines if line.startswith("0::")), "")
    return mount / group.lstrip("/") if mount and group else None


def _mount() -> Path | None:
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


def group_of(mark: str) -> str:
    """The name of the run's control group. All users can see it, so it holds only a hash of the mark."""
    return f"{GROUP_PREFIX}{mark.partition('-')[0]}-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"
