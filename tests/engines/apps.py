"""Apps as engines get them, for tests."""

import msgspec

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.engine_config import Swarm
from slot_machine.core.version_config import VersionConfig
from slot_machine.engines.shape import App, image_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def on_swarm(version: dict[str, object] | None = None, commit: str = COMMIT, **daemon: object) -> App:
    """`version` and `daemon` are fields as slot-machine.json has them."""
    engine: dict[str, object] = {"kind": "swarm", "replicas": 2}
    given = daemon.pop("engine", {})
    assert isinstance(given, dict)
    config = msgspec.convert(daemon | {"engine": engine | given}, DaemonConfig)
    assert isinstance(config.engine, Swarm)
    return App(
        name="shop",
        commit=commit,
        image=image_of(config.engine, "shop", commit),
        version=msgspec.convert({"start_command": "./serve"} | (version or {}), VersionConfig),
        daemon=config,
        env_digest="",
        release=3,
    )
