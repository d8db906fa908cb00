"""A site whose repository and app are another user's, with a daemon that is root's."""

import stat
import subprocess
from pathlib import Path

from spec.orchestrator import Orchestrator, environment
from spec.web import Body

from tests.users import PYTHON, give
from tests.world import Site, installed

ATTACK = (Path(__file__).parent / "clients" / "attack.py").read_text()
DENIED = {"Permission denied", "Operation not permitted"}


class AnothersSite(Site):
    """`uid` owns the repository; the data folder lies where only root can write."""

    def __init__(self, folder: Path, user: str, uid: int, orchestrator: Orchestrator | None = None) -> None:
        self.uid = uid
        super().__init__(orchestrator or installed(), folder)
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


def targets(site: Site, pids: list[int]) -> Body:
    """For ATTACK: these processes, and all files and sockets in the data folder."""
    modes = {path.name: path.lstat().st_mode for path in site.data.iterdir()}
    names = [name for name, mode in modes.items() if stat.S_ISREG(mode) or stat.S_ISSOCK(mode)]
    return {"names": names, "pids": pids, "api_port": site.api_port}
