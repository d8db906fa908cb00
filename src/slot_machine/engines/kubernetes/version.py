"""Which version of Kubernetes a server has."""

import re
from typing import NamedTuple

import msgspec

from slot_machine.core.errors import EngineFailed
from slot_machine.engines.client import Client
from slot_machine.engines.kubernetes import seen


class Version(NamedTuple):
    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


OLDEST = Version(1, 26)
"""All that we apply is there from this version on."""


class _Said(msgspec.Struct, frozen=True):
    major: str = ""
    minor: str = ""


class _Versions(msgspec.Struct, frozen=True, rename="camel"):
    server_version: _Said | None = None


def server(client: Client) -> Version:
    """Raises EngineFailed."""
    said = seen.read(client.ask("version", "-o", "json"), _Versions).server_version
    # Some providers write `30+`.
    found = re.fullmatch(r"(\d+)\.(\d+)\D*", f"{said.major}.{said.minor}") if said else None
    if not found:
        raise EngineFailed("the server does not say its version", "try `kubectl version`")
    return Version(int(found[1]), int(found[2]))
