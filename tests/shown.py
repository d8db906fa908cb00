"""Commands that run on a terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from spec.orchestrator import environment

NO_VARIABLES: Mapping[str, str] = {}


def on_terminal(
    *command: str | Path,
    cwd: Path,
    columns: int = 0,
    variables: Mapping[str, str] = NO_VARIABLES,
    stderr: int | None = None,
) -> tuple[int, bytes]:
    """The exit code, and all that a terminal got of stdout, and of stderr if that goes nowhere else.

    A terminal of 0 columns does not say how wide it is.
    """
    terminal, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = environment() | dict(variables)
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=stderr or theirs
    ) as client:
        os.close(theirs)
        got = b""
        # The end of a terminal is an error on Linux.
        with suppress(OSError):
            while chunk := os.read(terminal, 65536):
                got += chunk
    os.close(terminal)
    return client.returncode, got
