"""The edge in the lab, and web services as a deploy makes them: with the labels, the network, and a health check."""

import json
import subprocess
from pathlib import Path

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.engine_config import Swarm
from slot_machine.core.version_config import VersionConfig
from slot_machine.engines.client import Client
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import labels
from slot_machine.engines.swarm.edge import Edge
from slot_machine.engines.swarm.edge_settings import SwarmEdge
from tests.swarm import web
from tests.swarm.images import BASE
from tests.swarm.lab import Lab

TRAEFIK, HAPROXY = "traefik:lab", "haproxy:lab"
PROGRAM = Path(web.__file__)
HEALTH = f"exec 3<>/dev/tcp/127.0.0.1/{web.PORT} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && read -t 10 _ <&3"
ROLLOUT_LIMIT_S = 120.0


def client(lab: Lab) -> Client:
    return Client("docker", "-H", lab.manager.socket)


def of(lab: Lab) -> Edge:
    return Edge(client(lab))


def install(lab: Lab, nodes: int = 2, **settings: object) -> Edge:
    edge = of(lab)
    names = tuple(node.name for node in lab.nodes[:nodes])
    wanted = SwarmEdge(**{"image": TRAEFIK, "api_image": HAPROXY, "nodes": names} | settings)  # type: ignore[arg-type]
    for _ in edge.install(wanted):
        pass
    return edge


class Web:
    """Has two copies of each version. `abrupt`: they exit at once on SIGTERM, after `delay_s`."""

    def __init__(self, lab: Lab, name: str, *domains: str, abrupt: bool = True, delay_s: float = 0) -> None:
        self._lab = lab
        self.name = labels.service_of(name)
        self._app = name
        self.version = "v0"
        docker = lab.manager.docker
        if not docker("config", "ls", "--quiet", "--filter", "name=web-program"):
            docker("config", "create", "web-program", str(PROGRAM))
        made = labels.labels(self.app(*domains), maintenance=False)
        variables = {"VERSION": self.version, "DELAY_S": str(delay_s)} | ({"ABRUPT": "1"} if abrupt else {})
        check = f"bash -c {json.dumps(HEALTH)}"
        docker(
            *("service", "create", "--detach", "--no-resolve-image", "--name", self.name, "--replicas", "2"),
            *("--endpoint-mode", "dnsrr", "--network", labels.NETWORK, "--stop-grace-period", "60s"),
            *("--config", "source=web-program,target=/web.py"),
            *("--health-cmd", check, "--health-interval", "1s", "--health-timeout", "20s", "--health-retries", "5"),
            *("--health-start-period", "30s", "--update-order", "start-first", "--update-monitor", "1s"),
            *(word for key, value in made.items() for word in ("--label", f"{key}={value}")),
            *(word for key, value in variables.items() for word in ("--env", f"{key}={value}")),
            *(BASE, "python3", "/web.py"),
        )
        lab.until(f"{name} runs", self.runs, ROLLOUT_LIMIT_S)

    def app(self, *domains: str, name: str = "") -> App:
        daemon = DaemonConfig(engine=Swarm(), domains=domains, port=web.PORT)
        version = VersionConfig(start_command="x")
        return App(name=name or self._app, commit="c", image="i", version=version, daemon=daemon)

    def deploy(self, version: str) -> None:
        """Until all copies are of that version."""
        self.version = version
        self._lab.manager.docker(
            *("service", "update", "--detach", "--no-resolve-image", "--env-add", f"VERSION={version}", self.name)
        )
        self._lab.until(f"{version} runs", lambda: self.runs() and self._state() == "completed", ROLLOUT_LIMIT_S)

    def label(self, *domains: str, maintenance: bool = False) -> None:
        """As a deploy with other domains, or a maintenance."""
        docker = self._lab.manager.docker
        before = json.loads(docker("service", "inspect", "--format", "{{json .Spec.Labels}}", self.name))
        after = labels.labels(self.app(*domains), maintenance=maintenance)
        gone = [word for key in before if key not in after for word in ("--label-rm", key)]
        new = [word for key, value in after.items() for word in ("--label-add", f"{key}={value}")]
        docker("service", "update", "--detach", "--no-resolve-image", *gone, *new, self.name)

    def runs(self) -> bool:
        docker = self._lab.manager.docker
        ids = docker("service", "ps", "--quiet", "--no-trunc", "--filter", "desired-state=running", self.name).split()
        tasks = json.loads(docker("inspect", "--type", "task", *ids)) if ids else []
        wanted = f"VERSION={self.version}"
        running = [task for task in tasks if task["Status"]["State"] == "running"]
        right = [task for task in running if wanted in task["Spec"]["ContainerSpec"]["Env"]]
        return len(tasks) == len(right) == 2

    def _state(self) -> str:
        form = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}"
        return self._lab.manager.docker("service", "inspect", "--format", form, self.name)

    def remove(self) -> None:
        self._lab.manager.docker("service", "rm", self.name)


def curl(lab: Lab, *args: str, node: int = 0, host: str = "any.test", https: bool = False) -> str:
    """The head and the body of the answer; empty if there was none."""
    address, port = lab.nodes[node].address, 443 if https else 80
    where = ["--resolve", f"{host}:{port}:{address}"]
    url = f"{'https' if https else 'http'}://{host}"
    path = args[0] if args and args[0].startswith("/") else "/"
    argv = ["curl", "-siS", "--max-time", "20", *where, *[arg for arg in args if arg != path], f"{url}{path}"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
