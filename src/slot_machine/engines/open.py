"""The engine of an app, by the `kind` of its configuration. Each kind is imported only where it is used."""

from importlib import import_module
from pathlib import Path

from slot_machine.core.engine_config import EngineConfig, Swarm
from slot_machine.core.errors import EngineFailed
from slot_machine.engines.engine import Engine
from slot_machine.engines.flow import Images

MODULES = {"swarm": "SwarmEngine", "kubernetes": "KubernetesEngine"}


def opened(name: str, config: EngineConfig) -> Engine:
    """`name` is the app's. Reaches nothing yet. Raises EngineFailed if its client is not installed."""
    kind = "swarm" if isinstance(config, Swarm) else "kubernetes"
    try:
        made: Engine = getattr(import_module(f"slot_machine.engines.{kind}.engine"), MODULES[kind])(name, config)
    except ModuleNotFoundError:
        raise EngineFailed(f"this slot-machine knows no engine {kind}") from None
    return made


def images(repo: Path) -> Images:
    """What builds the images of commits of the repository in which the folder `repo` is."""
    try:
        made: Images = import_module("slot_machine.engines.image.build").DockerImages(repo)
    except ModuleNotFoundError:
        raise EngineFailed("this slot-machine builds no images") from None
    return made
