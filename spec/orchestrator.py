"""Finds the binary under test, and runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAME = "slot-machine"
GIT_ENVIRONMENT = {
    "GIT_AUTHOR_EMAIL": "spec@example.invalid",
    "GIT_AUTHOR_NAME": "spec",
    "GIT_COMMITTER_EMAIL": "spec@example.invalid",
    "GIT_COMMITTER_NAME": "spec",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def find() -> Path | None:
    asked_for = os.environ.get("ORCHESTRATOR_BIN")
    beside_python = os.path.join(os.path.dirname(sys.executable), NAME)
    found = shutil.which(asked_for) if asked_for else shutil.which(beside_python) or shutil.which(NAME)
    return Path(found).absolute() if found else None


def environment() -> dict[str, str]:
    """The suite's environment, without variables of another git repository or of another slot."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SLOT_MACHINE"))}
    return inherited | GIT_ENVIRONMENT | {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


class Orchestrator:
    def __init__(self, binary: Path) -> None:
        self.binary = binary

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.binary, *arguments],
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
