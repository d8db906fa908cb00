"""Brings an app's image to where the nodes get it: a registry, or each node itself."""

import subprocess

from slot_machine.core.engine_config import Swarm
from slot_machine.core.errors import StageFailed
from slot_machine.core.phases import Phase
from slot_machine.engines.client import Client
from slot_machine.engines.engine import Steps
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import nodes
from slot_machine.engines.swarm.docker import Docker

LIMIT_S = 1800.0
SSH = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
ID = ("image", "inspect", "--format", "{{.Id}}")


def given(docker: Docker, config: Swarm, app: App) -> Steps:
    """Raises StageFailed. A node that is away gets the image at the next deploy, and runs no copy before."""
    if config.registry:
        docker.client.run("push", "--quiet", app.image, limit_s=LIMIT_S)
        return "pushed"
    able = nodes.able(docker.nodes())
    image = docker.client.run(*ID, app.image).strip()
    for node in able:
        place = config.nodes.get(node.name, node.name)
        if _id(place, app.image) != image:
            yield f"load the image on {node.name}"
            _load(docker.client, app.image, place)
        if _id(place, app.image) != image:
            raise StageFailed(Phase.BUILD.stage, f"{node.name} has another image under the name {app.image}")
    nodes.has_image(docker, able, app.name, app.commit)
    return f"{len(able)} nodes have it"


def _id(place: str, image: str) -> str:
    answer = Client("ssh").attempt(*SSH, place, "docker", *ID[:2], "--format", "'{{.Id}}'", image)
    return answer.out.strip()


def _load(client: Client, image: str, place: str) -> None:
    """Raises StageFailed."""
    with client.piped("save", image) as saving:
        done = subprocess.run(
            ["ssh", *SSH, place, "docker", "load", "--quiet"],
            stdin=saving.stdout,
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
        )
        if saving.wait(LIMIT_S) or done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise StageFailed(Phase.BUILD.stage, f"the image can't be loaded at {place}: {said}")
