"""What processes use: memory, CPU and their age, from /proc."""

import os
import time
from collections.abc import Iterable

from slot_machine.host.process.proc import OUT_OF_SIGHT, child_tree, resident_bytes, stat

SHORTEST_S = 1.0
"""Between two looks. CPU time is counted in ticks of 10 ms."""


def families(pids: Iterable[int]) -> set[int]:
    """These processes and what they started, apart from orphans."""
    return {member for pid in pids for member in (pid, *child_tree(pid))}


def memory_mb(pids: Iterable[int]) -> float:
    return round(sum(map(resident_bytes, pids)) / 1e6, 1)


def age_s(pid: int) -> float:
    """Since its start; 0 if it is gone or hidden."""
    found = stat(pid)
    return _since_boot_s() - _seconds(found.start_ticks) if found else 0.0


def cpu_s(pid: int) -> float:
    """That it used so far; 0 if it is gone or hidden."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            # `utime` and `stime`, fields 14 and 15 in proc(5). Field 2, the name, may contain anything.
            fields = file.read().rpartition(b")")[2].split()
        return _seconds(int(fields[11]) + int(fields[12]))
    except (*OUT_OF_SIGHT, IndexError):
        return 0.0


class Cpu:
    """How much of one CPU processes use: since the last look, if that was a second ago or more, else since their start.

    Whoever looks more often gets the same answer again.
    """

    def __init__(self) -> None:
        self._looked_s = 0.0
        self._used: dict[int, float] = {}
        self._percent = 0.0

    def percent(self, pids: Iterable[int]) -> float:
        used = {pid: cpu_s(pid) for pid in pids}
        now_s = time.monotonic()
        known = {pid: used[pid] - before for pid, before in self._used.items() if pid in used}
        if known and now_s - self._looked_s < SHORTEST_S:
            return self._percent
        if known:
            since_s, spent_s = now_s - self._looked_s, sum(known.values())
        else:
            since_s, spent_s = max(map(age_s, used), default=0), sum(used.values())
        self._looked_s, self._used = now_s, used
        self._percent = round(100 * spent_s / since_s, 1) if since_s else 0.0
        return self._percent


def _seconds(ticks: int) -> float:
    return ticks / os.sysconf("SC_CLK_TCK")


def _since_boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
