"""Brings an app's image to where the nodes get it: a registry, or each node itself."""

from slot_machine.core.engine_config import Swarm
from slot_machine.engines.engine import Steps
from slot_machine.engines.image import registry
from slot_machine.engines.image.nodes import Nodes
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import nodes
from slot_machine.engines.swarm.docker import Docker


def given(docker: Docker, config: Swarm, app: App) -> Steps:
    """Raises StageFailed. A node that is away gets the image at the next deploy, and runs no copy before."""
    if config.registry:
        return (yield from registry.push(docker.client, app.image))
    able = nodes.able(docker.nodes())
    places = {node.name: nodes.place(node.name, config.nodes) for node in able}
    summary = yield from Nodes(docker.client, places).give(app.image)
    nodes.has_image(docker, able, app.name, app.commit)
    return summary
