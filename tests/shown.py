"""Commands that run on a terminal."""

import os
import pty
import subprocess
from contextlib import suppress
from pathlib import Path

from spec.orchestrator import environment


def on_terminal(*command: str | Path, cwd: Path) -> tuple[int, bytes]:
    """The exit code, and all that a terminal got of stdout and stderr."""
    terminal, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=cwd, env=environment(), stdout=theirs, stderr=theirs) as client:
        os.close(theirs)
        got = b""
        # The end of a terminal is an error on Linux.
        with suppress(OSError):
            while chunk := os.read(terminal, 65536):
                got += chunk
    os.close(terminal)
    return client.returncode, got
