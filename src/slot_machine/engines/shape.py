"""What any engine has to know of an app to run it."""

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.engine_config import EngineConfig
from slot_machine.core.errors import ConfigError
from slot_machine.core.version_config import VersionConfig

LONGEST_NAME = 40
"""Names of an engine's objects are made of it, and those end at 63 characters (RFC 1123)."""


class Values(NamedTuple):
    """The variables of `env_file`. Not shown by `repr`, so that no error message has them."""

    variables: Mapping[str, str]

    def __repr__(self) -> str:
        return f"{len(self.variables)} variables"

    @property
    def digest(self) -> str:
        """Of all of them, in 16 hexadecimal digits; empty if there are none."""
        if not self.variables:
            return ""
        text = "\0".join(f"{name}={value}" for name, value in sorted(self.variables.items()))
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


class App(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it is to run. The digest of the variables is part of what is kept; the variables are not."""

    name: str
    commit: str
    image: str
    """The reference of the image: `PREFIX/NAME:COMMIT`."""
    version: VersionConfig
    daemon: DaemonConfig
    env_digest: str = ""
    release: int = 0
    """The number of the release; 0 in an export."""
    own_dockerfile: bool = False
    """Whether the image is of the repository's own `Dockerfile`: it has no process 1 and no health check of ours."""

    @property
    def engine(self) -> EngineConfig:
        assert self.daemon.engine is not None
        return self.daemon.engine

    @property
    def processes(self) -> dict[str, int]:
        """How many copies of the web process and of each worker run."""
        return {"web": self.engine.replicas} | {name: worker.count for name, worker in self.version.workers.items()}


def kept(app: App) -> App:
    """As a record has it, which others may read: without the addresses that only a daemon uses, and their passwords."""
    daemon = msgspec.structs.replace(app.daemon, notify=(), hooks={}, follow=None, webhook=None, hosts={})
    return msgspec.structs.replace(app, daemon=daemon)


def name_of(daemon: DaemonConfig, folder: str) -> str:
    """The app's name as all engines take it: letters, digits and hyphens. Raises ConfigError."""
    given = daemon.name or folder
    name = re.sub(r"[^a-z0-9]+", "-", given.lower()).strip("-")
    if not name or len(name) > LONGEST_NAME or not name[0].isalpha():
        what = f"name: an engine can't use {given!r}"
        raise ConfigError(what, f'set `name` to at most {LONGEST_NAME} of a-z, 0-9 and -, such as "shop"')
    return name


def image_of(engine: EngineConfig, name: str, commit: str) -> str:
    return f"{engine.registry}/{name}:{commit}" if engine.registry else f"{name}:{commit}"
