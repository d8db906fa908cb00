"""A repository with the test app in it, and the daemons that a test starts for it."""

import http.client
import json
import os
import resource
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spec.daemon import Daemon
from spec.orchestrator import Orchestrator, environment
from spec.ports import free_port
from spec.web import Reply, call, exchange

APP = Path(__file__).parent / "clients" / "sample_app.py"
Value = str | int


class Site:
    def __init__(self, orchestrator: Orchestrator, folder: Path) -> None:
        self.orchestrator = orchestrator
        self.folder = folder
        self.repo = folder / "repo"
        self.data = self.repo / ".slot-machine"
        self.port = free_port()
        self.api_port = free_port()
        self.config: dict[str, Value] = {
            "start_command": f"{shlex.quote(sys.executable)} -IS app.py",
            "port": self.port,
            "api_port": self.api_port,
            "health_timeout_ms": 5000,
        }
        self.daemons: list[Daemon] = []
        self.prefix: tuple[str, ...] = ()
        """A command that runs the daemon."""
        self.repo.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        (self.repo / ".gitignore").write_text(".slot-machine\nslot-machine.json\nignored\n")

    def git(self, *args: str) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.repo, env=environment(), check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, version: str, files: dict[str, str] | None = None, **behaviour: object) -> str:
        """Commits the app with this behaviour and these further files; returns the full hash."""
        (self.repo / "app.py").write_bytes(APP.read_bytes())
        (self.repo / "behaviour.json").write_text(json.dumps({"version": version} | behaviour))
        for name, text in (files or {}).items():
            (self.repo / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repo / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", version)
        return self.git("rev-parse", "HEAD")

    def launch(self, *options: str, **config: Value) -> Daemon:
        """Starts a daemon and does not wait for it."""
        self.config |= config
        (self.repo / "slot-machine.json").write_text(json.dumps(self.config))
        log = self.folder / f"daemon-{len(self.daemons)}.log"
        daemon = Daemon((*self.prefix, self.orchestrator.binary, "start", *options), self.repo, self.api_port, log)
        self.daemons.append(daemon)
        return daemon

    def start(self, *options: str, **config: Value) -> Daemon:
        daemon = self.launch(*options, **config)
        daemon.wait_until_ready()
        return daemon

    def run(self, *args: str) -> "subprocess.CompletedProcess[str]":
        return self.orchestrator.run(*args, cwd=self.repo)

    def get(self, path: str = "/") -> tuple[int, str]:
        status, body = exchange(self.port, "GET", path)
        return status, body.decode()

    def serving(self) -> str:
        """The version that answers; fails on anything but a 200."""
        status, body = self.get()
        assert status == 200, (status, body)
        return body

    def status(self) -> dict[str, object]:
        return call(self.api_port, "GET", "/status").body

    def post(self, path: str, body: dict[str, object] | None = None) -> Reply:
        return call(self.api_port, "POST", path, body)

    def history(self) -> list[dict[str, object]]:
        """Every attempt, the first one first."""
        with sqlite3.connect(f"file:{self.data}/state.db?mode=ro", uri=True) as db:
            db.row_factory = sqlite3.Row
            rows = [dict(row) for row in db.execute("SELECT * FROM attempts ORDER BY id")]
        db.close()
        return rows

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.stop()
        for daemon in self.daemons:
            sys.stderr.write(daemon.log.read_text(errors="replace"))


def serves(site: Site) -> bool:
    try:
        return site.get()[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def alive(pid: int) -> bool:
    """Zombies are not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def metric(site: Site, name: str) -> float:
    """A sample of `GET /metrics`, by its name without the prefix and with its labels; 0 where there is none."""
    _, text = exchange(site.api_port, "GET", "/metrics")
    prefix = f"slot_machine_{name} "
    return next((float(line.removeprefix(prefix)) for line in text.decode().splitlines() if line.startswith(prefix)), 0)


@contextmanager
def no_more_files(pid: int) -> Iterator[None]:
    """That process can open none meanwhile."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
