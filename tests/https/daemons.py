"""Daemons of apps in repositories of their own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.https.conftest import COMMAND, LIMIT_S, Process, until


class Daemon:
    """Of an app in a repository of its own."""

    def __init__(self, place: Path, port: int, **fields: object) -> None:
        self.place = place
        self.port = port
        place.mkdir()
        shutil.copy(Path(__file__).with_name("app.py"), place / "app.py")
        self.fields = {
            "start_command": f"exec {sys.executable} app.py $PORT",
            "port": port,
            "api_port": port + 100,
            "health_endpoint": "/",
            **fields,
        }
        self.write()
        for words in ("init -q -b main", "add -A", "-c user.name=x -c user.email=x@x commit -qm first"):
            subprocess.run(["git", "-C", str(place), *words.split()], check=True)
        self.process: Process | None = None

    def write(self) -> None:
        (self.place / "slot-machine.json").write_text(json.dumps(self.fields))

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [*COMMAND, *words]
        return subprocess.run(command, cwd=self.place, capture_output=True, text=True, check=False, timeout=LIMIT_S)

    def start(self) -> Process:
        config = str(self.place / "slot-machine.json")
        self.process = Process([*COMMAND, "start", "--config", config], self.place.with_suffix(".log"))
        return self.process

    def live(self) -> "Daemon":
        process = self.start()
        until(lambda: "ready: app on" in process.said())
        deployed = self.run("deploy")
        assert deployed.returncode == 0, deployed.stderr
        return self

    def domains(self) -> dict[str, tuple[str, str]]:
        status = json.loads(self.run("status", "--json").stdout)
        return {one["domain"]: (one["state"], one["detail"]) for one in status["domains"]}
