"""Apps as engines get them, for tests."""

import msgspec

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.engine_config import Swarm
from slot_machine.core.version_config import VersionConfig
from slot_machine.engines.shape import App, image_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


Fields = dict[str, object]


def on_swarm(version: Fields | None = None, commit: str = COMMIT, fields: Fields | None = None, **more: object) -> App:
    """`version`, and `fields` and `more` of the daemon, are as slot-machine.json has them."""
    engine: Fields = {"kind": "swarm", "replicas": 2}
    daemon = (fields or {}) | more
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
