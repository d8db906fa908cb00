"""The main processes of a session: those that a stop signal is meant for.

`/bin/sh -c "cd app && celery worker"` leaves a shell that waits for celery. A shell without a trap does not pass a
signal on, so the shell's children are the main processes. `npm run` passes signals on only as far as its own shell.
A shell that runs a loop is a main process together with its children: else it would begin the next round.
"""

import re
import signal
from pathlib import Path

from slot_machine.host.process import proc

SHELLS = {"sh", "dash", "bash", "ash", "busybox", "ksh", "mksh", "zsh"}

RUNNER = re.compile(r"(?:npm|npx|yarn|pnpm)(?:-cli)?(?:\.c?js)?")
"""The name of a program that runs a script of package.json, which may be the first argument of node."""

LOOP = re.compile(r"\b(?:while|until|for)\b.*\bdo\b", re.DOTALL)
LOOP_OF_SCRIPT = re.compile(rb"^[ \t]*(?:while|until|for)\b.*?(?:;|^)[ \t]*do\b", re.DOTALL | re.MULTILINE)
"""A script may have such words in a remark."""
FIRST_OF_SHELLS = 10
"""The least file descriptor by which a shell reads its script. Programs that it starts have those below."""
MOST_SCRIPT_BYTES = 65_536

ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
"""Stop signals, after which a loop is not to go on."""

FOR_ITSELF = {signal.SIGINT, signal.SIGQUIT}
"""A shell may catch these though nobody set a trap."""


def mains(leader: int, signum: signal.Signals) -> list[int]:
    """The leader, or in place of a program that only waits, its children. A shell comes before its children."""
    found, waiting = [], [leader]
    while waiting:
        pid = waiting.pop()
        only_waits = _is_runner(pid) or (_is_shell(pid) and not _has_trap(pid, signum))
        below = list(proc.children(pid)) if only_waits else []
        if not below or (signum in ENDING and _loops(pid)):
            found.append(pid)
        waiting += below
    return found


def _is_shell(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name in SHELLS
    except OSError:
        return False


def _loops(pid: int) -> bool:
    if not _is_shell(pid):
        return False
    return LOOP.search(proc.command_line(pid)) is not None or LOOP_OF_SCRIPT.search(_script(pid)) is not None


def _script(pid: int) -> bytes:
    """The beginning of the file from which a shell reads its commands; empty if it got them otherwise."""
    names = {word.rpartition("/")[2] for word in proc.command_line(pid).split()[1:]}
    try:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            if int(fd.name) >= FIRST_OF_SHELLS and fd.readlink().name in names and fd.is_file():
                with fd.open("rb") as script:
                    return script.read(MOST_SCRIPT_BYTES)
    except OSError:
        pass
    return b""


def _is_runner(pid: int) -> bool:
    words = proc.command_line(pid).split()[:2]
    return any(RUNNER.fullmatch(word.rpartition("/")[2]) for word in words)


def _has_trap(pid: int, signum: signal.Signals) -> bool:
    return signum not in FOR_ITSELF and signum in proc.caught(pid)
