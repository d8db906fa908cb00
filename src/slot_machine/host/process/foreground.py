"""Runs a command in the caller's terminal, until it ends.

With the caller's own rights, the command gets the caller's terminal itself. With another user's rights, it gets a
terminal of its own, and a session: a process that has root's terminal could type into it (TIOCSTI, ioctl_tty(2)), and
read what is typed, even after the command has ended.
"""

import fcntl
import os
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import NamedTuple

from slot_machine.host.process.terminal import Relay

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes, as of sh."""

TOLD = (signal.SIGTERM, signal.SIGHUP)
FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
"""The kernel sends them to all processes that have the terminal."""


class CannotRun(Exception):
    """The command was not begun. `code` is the exit code that says so."""

    def __init__(self, message: str, code: int, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class Whose(NamedTuple):
    """The rights of a command."""

    uid: int
    gid: int
    groups: Sequence[int]
    umask: int


def run(command: Sequence[str], folder: str, env: Mapping[str, str], whose: Whose) -> int:
    """The exit code, 128 + N for signal N. Raises CannotRun."""
    started: list[subprocess.Popen[bytes]] = []
    if whose.uid == os.geteuid():
        with _heeding(dict.fromkeys(TOLD, partial(_tell, started)) | dict.fromkeys(FROM_TERMINAL, _told_by_the_kernel)):
            started.append(_started(command, folder, env, whose.umask))
            return _code(started[0].wait())
    told = partial(_tell, started, whole_group=True)
    with (
        Relay.of_caller(whose.uid) as relay,
        _heeding(dict.fromkeys((*TOLD, *FROM_TERMINAL), told) | {signal.SIGWINCH: relay.resize}),
    ):
        started.append(_started(command, folder, env, whose.umask, whose, relay))
        relay.until_ended(started[0].pid)
        return _code(started[0].wait())


def _started(
    command: Sequence[str],
    folder: str,
    env: Mapping[str, str],
    umask: int,
    whose: Whose | None = None,
    relay: Relay | None = None,
) -> "subprocess.Popen[bytes]":
    stdin, stdout, stderr = relay.streams if relay else (None, None, None)
    try:
        return subprocess.Popen(
            command,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            umask=umask,
            user=whose.uid if whose else None,
            group=whose.gid if whose else None,
            extra_groups=whose.groups if whose else None,
            start_new_session=relay is not None,
            # It runs with the rights of the command: root enters no folder by a path that the user can change.
            preexec_fn=partial(_enter, folder, relay.slave if relay else -1),  # noqa: PLW1509 - there are no threads
        )
    except FileNotFoundError:
        raise CannotRun(f"there is no program {command[0]!r} in the app's PATH", NOT_FOUND) from None
    except OSError as error:
        raise CannotRun(f"cannot run {command[0]!r}: {error.strerror}", NOT_EXECUTABLE) from None
    except subprocess.SubprocessError:
        raise CannotRun(f"cannot enter {folder}", NOT_EXECUTABLE) from None


def _enter(folder: str, terminal: int) -> None:
    os.chdir(folder)
    if terminal >= 0:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _code(returned: int) -> int:
    return returned if returned >= 0 else 128 - returned


Handler = Callable[[int], object]


@contextmanager
def _heeding(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Signals that the caller ignores stay ignored."""
    before = {signum: signal.getsignal(signum) for signum in handlers}

    def heed(signum: int, _: FrameType | None) -> None:
        handlers[signal.Signals(signum)](signum)

    for signum, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(signum, heed)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _told_by_the_kernel(_: int) -> None:
    """The command has got the signal as well."""


def _tell(started: "Sequence[subprocess.Popen[bytes]]", signum: int, *, whole_group: bool = False) -> None:
    for process in started:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                (os.killpg if whole_group else os.kill)(process.pid, signum)
