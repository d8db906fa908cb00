"""A site whose repository and app are another user's, with a daemon that is root's."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from spec.orchestrator import Orchestrator, environment, find

from tests.world import Site

PYTHON = "/usr/bin/python3"
"""One that everybody may run, unlike that of the tests, which may lie in root's home."""

NAMED, NUMBERED = "nobody", "61234"
"""A user with an entry in passwd, and one without."""


def is_mapped(uid: int) -> bool:
    """Whether this user namespace has it (user_namespaces(7))."""
    spans = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(first <= uid < first + count for first, _, count in spans)


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not is_mapped(int(NUMBERED)) or not os.access(PYTHON, os.X_OK),
    reason=f"only root can be another user, and {PYTHON} is needed",
)


class AnothersSite(Site):
    """`uid` owns the repository; the data folder lies where only root can write."""

    def __init__(self, folder: Path, user: str, uid: int) -> None:
        self.uid = uid
        binary = find()
        assert binary is not None, "slot-machine is not installed beside this Python"
        super().__init__(Orchestrator(binary), folder)
        self.data = folder / "data"
        self.config |= {"start_command": f"{PYTHON} -IS app.py", "user": user, "data": str(self.data)}

    def git(self, *args: str) -> str:
        give(self.repo, self.uid)
        env = environment() | {"HOME": "/"}
        return self.as_user("git", *args, env=env).stdout.strip()

    def as_user(self, *argv: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            argv,
            cwd=self.repo,
            env=env,
            check=True,
            capture_output=True,
            text=True,
            user=self.uid,
            group=self.uid,
            extra_groups=[],
        )


def give(folder: Path, uid: int) -> None:
    subprocess.run(["chown", "-R", f"{uid}:{uid}", str(folder)], check=True)


def passable_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="slot-machine-test-"))
    folder.chmod(0o755)
    return folder


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
