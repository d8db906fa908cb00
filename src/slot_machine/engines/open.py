"""The engine of an app, by the `kind` of its configuration. Each kind is imported only where it is used."""

from pathlib import Path

from slot_machine.core.engine_config import EngineConfig, Swarm
from slot_machine.engines.engine import Engine
from slot_machine.engines.flow import Images


def opened(name: str, config: EngineConfig) -> Engine:
    """`name` is the app's. Reaches nothing yet."""
    if isinstance(config, Swarm):
        from slot_machine.engines.swarm.engine import SwarmEngine

        return SwarmEngine(name, config)
    from slot_machine.engines.kubernetes.engine import KubernetesEngine

    return KubernetesEngine(name, config)


def images(repo: Path) -> Images:
    """What builds the images of commits of the repository in which the folder `repo` is."""
    from slot_machine.engines.image.build import DockerImages

    return DockerImages(repo)
