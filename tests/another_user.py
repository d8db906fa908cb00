"""A site whose repository and app are another user's, with a daemon that is root's."""

import os
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from spec.orchestrator import Orchestrator, environment, find
from spec.web import Body

from tests.world import Site

PYTHON = "/usr/bin/python3"
"""One that everybody may run, unlike that of the tests, which may lie in root's home."""

NAMED, NUMBERED = "nobody", "61234"
"""A user with an entry in passwd, and one without."""


def is_mapped(uid: int) -> bool:
    """Whether this user namespace has it (user_namespaces(7))."""
    spans = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(first <= uid < first + count for first, _, count in spans)


CAN_BE_ANOTHER = os.geteuid() == 0 and is_mapped(int(NUMBERED)) and os.access(PYTHON, os.X_OK)
needs_root = pytest.mark.skipif(not CAN_BE_ANOTHER, reason=f"only root can be another user, and {PYTHON} is needed")

ATTACK = (Path(__file__).parent / "clients" / "attack.py").read_text()
DENIED = {"Permission denied", "Operation not permitted"}


class AnothersSite(Site):
    """`uid` owns the repository; the data folder lies where only root can write."""

    def __init__(self, folder: Path, user: str, uid: int, orchestrator: Orchestrator | None = None) -> None:
        self.uid = uid
        super().__init__(orchestrator or _installed(), folder)
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


def _installed() -> Orchestrator:
    binary = find()
    assert binary is not None, "slot-machine is not installed beside this Python"
    return Orchestrator(binary)


def targets(site: Site, pids: list[int]) -> Body:
    """For ATTACK: these processes, and all files and sockets in the data folder."""
    modes = {path.name: path.lstat().st_mode for path in site.data.iterdir()}
    names = [name for name, mode in modes.items() if stat.S_ISREG(mode) or stat.S_ISSOCK(mode)]
    return {"names": names, "pids": pids, "api_port": site.api_port}


def give(folder: Path, uid: int) -> None:
    """Git may remove some of its files meanwhile."""
    for parent, folders, files in os.walk(folder):
        for name in ("", *folders, *files):
            with suppress(FileNotFoundError):
                os.chown(os.path.join(parent, name), uid, uid, follow_symlinks=False)


def passable_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="slot-machine-test-"))
    folder.chmod(0o755)
    return folder


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
