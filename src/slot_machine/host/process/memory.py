"""How much memory processes take together."""

from collections.abc import Iterable
from pathlib import Path

from slot_machine.host.process.proc import resident_bytes


def memory_bytes(pids: Iterable[int], enough: int) -> int:
    """The resident memory of the processes, if that is at most `enough`: else without counting shared pages twice.

    Workers that a server forks share most of their memory with it. To find that out takes the kernel some
    milliseconds, so it is not asked for more often than needed. Blocks.
    """
    known = list(pids)
    resident = sum(map(resident_bytes, known))
    return resident if resident <= enough else sum(map(proportional_bytes, known))


def proportional_bytes(pid: int) -> int:
    """With a process's share of the pages that it shares, and with what was swapped out (proc_pid_smaps(5)).

    Its resident memory where the kernel does not tell that, as of a process with other rights.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return resident_bytes(pid)
    kilobytes = sum(int(line.split()[1]) for line in lines if line.startswith(("Pss:", "SwapPss:")))
    return kilobytes * 1024 or resident_bytes(pid)
