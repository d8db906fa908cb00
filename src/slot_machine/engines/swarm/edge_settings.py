"""The fields of `edge.json` for the edge of a swarm: those of one machine's edge, and which nodes and images it has."""

from pathlib import Path
from typing import Annotated

import msgspec

from slot_machine.core.daemon_config import OwnCertificate
from slot_machine.core.errors import ConfigError
from slot_machine.edge import settings
from slot_machine.edge.settings import EdgeSettings
from slot_machine.host.files.regular import open_regular

TRAEFIK = "traefik:v3.7"
"""From 3.7.12 on, Traefik can drop fields such as `X.Real.IP`."""
HAPROXY = "haproxy:3.0"

Image = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-zA-Z0-9._:/@-]*\Z", max_length=300)]
NodeName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=250)]


class SwarmEdge(EdgeSettings, frozen=True, kw_only=True):
    """Without `nodes`, the edge stays where it is; at first, that is the manager that is asked."""

    nodes: tuple[NodeName, ...] = ()
    image: Image = TRAEFIK
    api_image: Image = HAPROXY
    certificates: tuple[OwnCertificate, ...] = ()


def read(file: Path, *, required: bool) -> SwarmEdge:
    """All paths absolute. Without the file the defaults hold, unless it is `required`. Raises ConfigError."""
    made = settings.read_as(SwarmEdge, file, required=required)
    if made.bind or made.state != str(settings.default_state()):
        raise ConfigError(f"{file.name}: `bind` and `state` are for the edge of one machine", "remove them")
    folder = file.resolve().parent
    own = tuple(OwnCertificate(cert=str(folder / each.cert), key=str(folder / each.key)) for each in made.certificates)
    return msgspec.structs.replace(made, certificates=own)


def changed(edge: SwarmEdge, values: dict[str, str]) -> SwarmEdge:
    """With these images. Raises ConfigError."""
    try:
        return msgspec.convert(msgspec.to_builtins(edge) | values, SwarmEdge)
    except msgspec.ValidationError as error:
        raise ConfigError(f"an image: {error}", "write one such as traefik:v3.7") from None


def content(file: str) -> str:
    """Of a certificate, a key or roots. Raises ConfigError."""
    try:
        with open(open_regular(Path(file)), "rb") as stream:
            return stream.read().decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from None
