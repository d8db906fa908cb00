"""Other users of this machine, for tests that run as root."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from spec.orchestrator import environment

PYTHON = "/usr/bin/python3"
"""One that everybody may run, unlike that of the tests, which may lie in root's home."""

PACKAGES = (str(Path(__file__).parents[1] / "src"), *(path for path in sys.path if path.endswith("site-packages")))

NAMED, NUMBERED = "nobody", "61234"
"""A user with an entry in passwd, and one without."""

NOBODY = 65534
STRANGER, OWNER = 54_321, 54_322
"""Two more without an entry; OWNER runs a daemon."""


def is_mapped(uid: int) -> bool:
    """Whether this user namespace has it (user_namespaces(7))."""
    spans = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(first <= uid < first + count for first, _, count in spans)


CAN_BE_NOBODY = os.geteuid() == 0 and is_mapped(NOBODY)
CAN_BE_ANOTHER = os.geteuid() == 0 and is_mapped(int(NUMBERED)) and os.access(PYTHON, os.X_OK)
needs_root = pytest.mark.skipif(not CAN_BE_ANOTHER, reason=f"only root can be another user, and {PYTHON} is needed")


def python_for_all() -> tuple[str, ...]:
    """PYTHON with slot-machine's packages. Skips the test where it can't use them."""
    command = ("/usr/bin/env", "HOME=/", f"PYTHONPATH={':'.join(PACKAGES)}", PYTHON)
    if subprocess.run([*command, "-c", "import h11, msgspec, uvloop"], check=False, capture_output=True).returncode:
        pytest.skip(f"{PYTHON} can't use the packages of {sys.executable}")
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


def give(folder: Path, uid: int) -> None:
    """Changes the owner of all that is in it. Git may remove some of its files meanwhile."""
    for parent, folders, files in os.walk(folder):
        for name in ("", *folders, *files):
            with suppress(FileNotFoundError):
                os.chown(os.path.join(parent, name), uid, uid, follow_symlinks=False)


@contextmanager
def public_folder() -> Iterator[Path]:
    """One that all users can get to, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="slot-machine-test-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
