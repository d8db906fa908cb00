"""An app with an `engine`, in a repository on the user's computer, and the swarm's edge before it."""

import json
import os
import subprocess
from pathlib import Path

from spec.orchestrator import environment, find

from tests.swarm import images
from tests.swarm.edges import HAPROXY, TRAEFIK
from tests.swarm.lab import Lab

APP = Path(__file__).with_name("app.py")
LIMIT_S = 300.0


class Shop:
    """It has no domain: the edge sends it the visitors of all hosts that nobody has.

    Attributes:
        environment: that of its user; a test may change it
    """

    def __init__(self, folder: Path, name: str = "shop", **engine: object) -> None:
        self.folder = folder
        self.name = name
        self.config: dict[str, object] = {
            "name": name,
            "start_command": "exec python3 app.py",
            "health_endpoint": "/healthz",
            "base_image": images.BASE,
            "port": 8000,
            "engine": {"kind": "swarm", "context": "swarm", "replicas": 2, **engine},
        }
        self.environment = environment() | {"DOCKER_CONFIG": os.environ["DOCKER_CONFIG"]}
        folder.mkdir()
        (folder / ".gitignore").write_text("edge.json\n.env\n")
        self.git("init", "--quiet")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.folder, env=environment(), capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, version: str, fault: str = "", **changes: object) -> str:
        """The hash of a commit whose app answers with this version. `changes` are fields of slot-machine.json."""
        self.config |= changes
        app = APP.read_text().replace('"v1"', f'"{version}"').replace('FAULT = ""', f'FAULT = "{fault}"')
        (self.folder / "app.py").write_text(app)
        (self.folder / "slot-machine.json").write_text(json.dumps(self.config))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", version)
        return self.git("rev-parse", "HEAD")

    def attempt(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """slot-machine, on the user's computer."""
        return subprocess.run(
            [find() or "", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def run(self, *words: str) -> str:
        """What it prints. The test fails if it fails."""
        done = self.attempt(*words)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


def install_edge(lab: Lab, shop: Shop) -> None:
    """On all nodes, as a user does it."""
    for program, image in (("traefik", TRAEFIK), ("haproxy", HAPROXY)):
        lab.provide_program(program, image)
    settings = {"nodes": [node.name for node in lab.nodes], "image": TRAEFIK, "api_image": HAPROXY}
    (shop.folder / "edge.json").write_text(json.dumps(settings))
    shop.run("edge", "install")


def remove(lab: Lab, shop: Shop) -> None:
    """The app, and the edge."""
    lab.remove_stack(shop.name)
    shop.run("edge", "uninstall")
