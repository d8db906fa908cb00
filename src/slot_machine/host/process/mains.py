"""The main processes of a session: those that a stop signal is meant for.

`/bin/sh -c "cd app && celery worker"` leaves a shell that waits for celery. A shell without a trap does not pass a
signal on, so the shell's children are the main processes. `npm run` passes signals on only as far as its own shell.
"""

import re
import signal
from pathlib import Path

from slot_machine.host.process import proc

SHELLS = {"sh", "dash", "bash", "ash", "busybox", "ksh", "mksh", "zsh"}

RUNNER = re.compile(r"(?:npm|npx|yarn|pnpm)(?:-cli)?(?:\.c?js)?")
"""The name of a program that runs a script of package.json, which may be the first argument of node."""

FOR_ITSELF = {signal.SIGINT, signal.SIGQUIT}
"""A shell may catch these though nobody set a trap."""


def mains(leader: int, signum: signal.Signals) -> list[int]:
    """The leader, or in place of a program that only waits, its children."""
    found, waiting = [], [leader]
    while waiting:
        pid = waiting.pop()
        only_waits = _is_runner(pid) or (_is_shell(pid) and not _has_trap(pid, signum))
        below = list(proc.children(pid)) if only_waits else []
        if below:
            waiting += below
        else:
            found.append(pid)
    return found


def _is_shell(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name in SHELLS
    except OSError:
        return False


def _is_runner(pid: int) -> bool:
    words = proc.command_line(pid).split()[:2]
    return any(RUNNER.fullmatch(word.rpartition("/")[2]) for word in words)


def _has_trap(pid: int, signum: signal.Signals) -> bool:
    return signum not in FOR_ITSELF and signum in proc.caught(pid)
