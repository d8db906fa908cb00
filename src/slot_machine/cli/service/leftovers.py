"""What systemd calls after each end of a service's main process (ExecStopPost=).

KillMode=process leaves the app and its proxy running, so that they serve on if the daemon dies. After an explicit stop,
the daemon has ended them itself, unless it hung or died meanwhile. Then they are ended here.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from slot_machine.cli.service.unit import STOP_MARK
from slot_machine.host import printing
from slot_machine.host.process import cgroup, proc
from slot_machine.host.process.cgroup import Cgroup

GRACE_S = 10.0
KILLED_WITHIN_S = 5.0
POLL_S = 0.05


def end(unit: str) -> None:
    """Ends all processes of the unit if somebody has asked to stop it. Does nothing outside of that unit."""
    group = _group_of(unit)
    if not group or not _is_asked_to_stop():
        return
    if left := _processes(group):
        printing.note(f"the daemon left these processes running; they are ended: {', '.join(map(proc.named, left))}")
        _signal(left, signal.SIGTERM)
        if not _are_gone(group, GRACE_S):
            _signal(_processes(group), signal.SIGKILL)
            _are_gone(group, KILLED_WITHIN_S)


def _is_asked_to_stop() -> bool:
    """Whether systemd has run ExecStop=, which makes the mark.

    After a crash it does not, and starts the daemon again.
    """
    folder = os.environ.get("RUNTIME_DIRECTORY", "")
    return bool(folder) and os.path.exists(os.path.join(folder, STOP_MARK))


def _group_of(unit: str) -> Path | None:
    """The control group of the unit, if this process is in it, or in a group below: systemd runs it in one."""
    group = cgroup.group_of_process()
    return next((each for each in (group, *group.parents) if each.name == unit), None) if group else None


def _processes(group: Path) -> list[int]:
    return [pid for pid in Cgroup(group).processes() if pid != os.getpid()]


def _signal(pids: Iterable[int], signum: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def _are_gone(group: Path, limit_s: float) -> bool:
    deadline_s = time.monotonic() + limit_s
    while _processes(group):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True
