"""The engine of an app, by the `kind` of its configuration. Each kind is imported only where it is used."""

from importlib import import_module
from pathlib import Path

from slot_machine.core.engine_config import EngineConfig, Swarm
from slot_machine.core.errors import EngineFailed
from slot_machine.engines.engine import Engine
from slot_machine.engines.flow import Images


def opened(name: str, config: EngineConfig) -> Engine:
    """`name` is the app's. Reaches nothing yet."""
    if isinstance(config, Swarm):
        from slot_machine.engines.swarm.engine import SwarmEngine

        return SwarmEngine(name, config)
    try:
        made: Engine = import_module("slot_machine.engines.kubernetes.engine").KubernetesEngine(name, config)
    except ModuleNotFoundError:
        raise EngineFailed("this slot-machine knows no engine kubernetes") from None
    return made


def images(repo: Path) -> Images:
    """What builds the images of commits of the repository in which the folder `repo` is."""
    try:
        made: Images = import_module("slot_machine.engines.image.build").DockerImages(repo)
    except ModuleNotFoundError:
        raise EngineFailed("this slot-machine builds no images") from None
    return made
