"""The processes of a daemon, as the kernel lists them."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_machine.host.process import cgroup, containment
from tests.world import Site

OF_PARTS = {"slot_machine.proxy": "(proxy ", "slot_machine.handover": "(keeper)"}
"""By the module of a process of ours, what its title has, which it shows in place of its command line."""


def children_of(pid: int, name: str) -> list[int]:
    names = {name, OF_PARTS.get(name, name)}
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent, *_ = Path(f"/proc/{entry}/stat").read_text().rpartition(") ")[2].split()
            command = Path(f"/proc/{entry}/cmdline").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and any(name in command for name in names) and state != "Z":
            found.append(int(entry))
    return found


def kill_daemon(site: Site) -> None:
    daemon = site.daemons[-1].process
    daemon.kill()
    daemon.wait()


def workers(site: Site) -> list[int]:
    return children_of(site.daemons[-1].process.pid, "slot_machine.proxy")


def keeper(site: Site) -> int:
    (pid,) = children_of(site.daemons[-1].process.pid, "slot_machine.handover")
    return pid


def groups(site: Site) -> list[str]:
    parent = cgroup.usable_parent()
    return [path.name for path in parent.glob(f"slot-machine-{containment.owner(site.data)}-*")] if parent else []


def alive(pid: int) -> bool:
    """Zombies are not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def no_more_files(pid: int) -> Iterator[None]:
    """That process can open none meanwhile."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
