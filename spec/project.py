import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from .daemon import Daemon
from .orchestrator import Orchestrator, environment
from .ports import free_port
from .processes import Process
from .web import Body, call

APP = Path(__file__).with_name("app.py")
PYTHON = f"{shlex.quote(sys.executable)} -IS"


class Event(NamedTuple):
    event: str
    version: str
    process: Process


class Project:
    """A repository with the test app, and the daemon that runs for it."""

    def __init__(self, orchestrator: Orchestrator, folder: Path) -> None:
        self.orchestrator = orchestrator
        self.folder = folder
        self.repo = folder / "repo"
        self.data = folder / "data"
        self.port = free_port()
        self.api_port = free_port()
        self._journal = folder / "journal"
        self._daemon: Daemon | None = None
        self.repo.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        (self.repo / "app.py").write_bytes(APP.read_bytes())

    def git(self, *arguments: str) -> str:
        result = subprocess.run(
            ["git", *arguments], cwd=self.repo, env=environment(), check=True, stdout=subprocess.PIPE, text=True
        )
        return result.stdout.strip()

    def commit(
        self,
        version: str,
        *,
        healthy: bool = True,
        boot_gate: Path | None = None,
        ignore_sigterm: bool = False,
        stop_s: float = 0,
    ) -> str:
        """Commits the app with this behaviour, and returns the full hash."""
        behaviour = {
            "version": version,
            "journal": str(self._journal),
            "healthy": healthy,
            "boot_gate": str(boot_gate or ""),
            "ignore_sigterm": ignore_sigterm,
            "stop_s": stop_s,
        }
        (self.repo / "behaviour.json").write_text(json.dumps(behaviour, indent=2))
        self.git("add", "app.py", "behaviour.json")
        self.git("commit", "--quiet", "--message", version)
        return self.git("rev-parse", "HEAD")

    def configure(self, **fields: str | int) -> None:
        """Writes a configuration. Fields that are not given keep their defaults."""
        required: dict[str, str | int] = {
            "start_command": f"{PYTHON} app.py",
            "port": self.port,
            "api_port": self.api_port,
        }
        (self.repo / "slot-machine.json").write_text(json.dumps(required | fields, indent=2))

    def start(self, **fields: str | int) -> Daemon:
        """Starts a daemon with these fields in the configuration. Returns when it accepts requests."""
        self.configure(**fields)
        config = self.repo / "slot-machine.json"
        options = ("--no-proxy", "--config", config, "--repo", self.repo, "--data", self.data)
        command = (self.orchestrator.binary, "start", *options)
        self._daemon = Daemon(command, self.folder, self.api_port, self.folder / "daemon.log")
        self._daemon.wait_until_ready()
        return self._daemon

    def ask_app(self, path: str, method: str = "GET") -> Body:
        return call(self.port, method, path).body

    def serving(self) -> object:
        """The version that answers on the app's port."""
        return self.ask_app("/about")["version"]

    def events(self) -> list[Event]:
        """What the app lived through so far, in all of its processes."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return [
            Event(line["event"], line["version"], Process(line["pid"], line["start_time"]))
            for line in map(json.loads, lines)
        ]

    def processes(self, version: str) -> list[Process]:
        """Every process in which this version was ever started, dead or alive."""
        return [event.process for event in self.events() if (event.event, event.version) == ("started", version)]

    def close(self) -> None:
        """Stop what was started here. What the daemon said is shown with a failure."""
        if self._daemon is None:
            return
        try:
            self._daemon.stop()
        finally:
            self._daemon.kill_leftovers()
            for event in self.events():
                event.process.kill()
            sys.stderr.write(self._daemon.log.read_text(errors="replace"))
