"""Other users of this machine, for tests that run as root."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from spec.orchestrator import environment

STRANGER = 54_321
"""Has no entry in the list of users."""

OWNER = 54_322
"""Another one, who runs a daemon."""

PACKAGES = (str(Path(__file__).parents[1] / "src"), *(path for path in sys.path if path.endswith("site-packages")))


def python_for_all() -> tuple[str, ...]:
    """With slot-machine's packages. Ours may lie where only root gets to. Skips the test where there is none."""
    command = ("/usr/bin/env", "HOME=/", f"PYTHONPATH={':'.join(PACKAGES)}", "/usr/bin/python3")
    if subprocess.run([*command, "-c", "import msgspec, uvloop, aiohttp"], check=False, capture_output=True).returncode:
        pytest.skip(f"{command[-1]} can't use the packages of {sys.executable}")
    return command


def as_user(uid: int, *command: str) -> list[str]:
    """Skips the test where it can't be done."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv(1)")
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *command]


def run_as(uid: int, *command: str, cwd: Path | str = "/") -> "subprocess.CompletedProcess[str]":
    env = environment() | {"HOME": "/"}
    return subprocess.run(
        as_user(uid, *command), cwd=cwd, env=env, capture_output=True, text=True, timeout=30, check=False
    )


@contextmanager
def public_folder() -> Iterator[Path]:
    """One that all users can get to, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="slot-machine-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
