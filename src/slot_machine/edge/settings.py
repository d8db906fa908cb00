"""The fields of `edge.json`."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from slot_machine.core.addresses import check_bind, check_trusted_proxies
from slot_machine.core.defaults import LARGEST_PORT
from slot_machine.core.errors import ConfigError
from slot_machine.host.files.regular import open_regular

NAME = "edge.json"
OF_MACHINE = Path("/etc/slot-machine") / NAME
STATE_OF_MACHINE = Path("/var/lib/slot-machine-edge")
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
HTTPS = re.compile(r"https://[!-z~]+")

Port = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_PORT)]
Challenge = Literal["tls-alpn-01", "http-01"]


class EdgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Paths are relative to the folder of the file. An empty `bind` is all addresses, an empty `state` the default."""

    http_port: Port = 80
    https_port: Port = 443
    bind: str = ""
    state: str = ""
    acme_email: Annotated[str, msgspec.Meta(max_length=200)] = ""
    acme_ca: Annotated[str, msgspec.Meta(max_length=300)] = LETS_ENCRYPT
    acme_ca_roots: str = ""
    trusted_proxies: tuple[str, ...] = ()
    acme_challenge: Challenge = "tls-alpn-01"


Settings = TypeVar("Settings", bound=EdgeSettings)


def file_of(given: Path | None) -> Path:
    """The file that is read: the given one, that of the machine, else that of the user."""
    if given:
        return given
    return OF_MACHINE if os.geteuid() == 0 or OF_MACHINE.exists() else _of_user("XDG_CONFIG_HOME", ".config") / NAME


def default_state() -> Path:
    """systemd names that of a service (systemd.exec(5))."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given)
    return STATE_OF_MACHINE if os.geteuid() == 0 else _of_user("XDG_STATE_HOME", ".local/state") / "edge"


def read(file: Path, *, required: bool) -> EdgeSettings:
    """All paths absolute. Without the file the defaults hold, unless it is `required`. Raises ConfigError."""
    return read_as(EdgeSettings, file, required=required)


def read_as(kind: type[Settings], file: Path, *, required: bool) -> Settings:
    """The same, with more fields. Raises ConfigError."""
    try:
        text = _content(file)
    except FileNotFoundError:
        if required:
            raise ConfigError(f"there is no {file}") from None
        text = b"{}"
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    settings = parse_as(kind, text, file)
    if settings.acme_ca_roots:
        _check_roots(Path(settings.acme_ca_roots), file.name)
    return settings


def parse(text: bytes, file: Path) -> EdgeSettings:
    """Raises ConfigError, in one line."""
    return parse_as(EdgeSettings, text, file)


def parse_as(kind: type[Settings], text: bytes, file: Path) -> Settings:
    try:
        given = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        settings = msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file.name}: {error}") from None
    if unknown := sorted(given.keys() - set(kind.__struct_fields__)):
        raise ConfigError(f"{file.name}: unknown field {unknown[0]!r}; there are {', '.join(kind.__struct_fields__)}")
    if settings.http_port == settings.https_port:
        raise ConfigError(f"{file.name}: http_port and https_port are the same")
    _check_addresses(settings, file.name)
    folder = file.resolve().parent
    roots = str(folder / settings.acme_ca_roots) if settings.acme_ca_roots else ""
    state = str(folder / settings.state) if settings.state else str(default_state())
    return msgspec.structs.replace(settings, state=state, acme_ca_roots=roots)


def _check_roots(roots: Path, name: str) -> None:
    """Traefik would start without them, and fail at each order. Raises ConfigError."""
    try:
        if b"-----BEGIN CERTIFICATE-----" not in _content(roots):
            raise ConfigError(f"{name}: acme_ca_roots: there is no PEM certificate in {roots}")
    except OSError as error:
        raise ConfigError(f"{name}: acme_ca_roots: cannot read {roots}: {error.strerror}") from None


def _content(file: Path) -> bytes:
    """Raises OSError."""
    with os.fdopen(open_regular(file), "rb") as stream:
        return stream.read()


def _check_addresses(settings: EdgeSettings, name: str) -> None:
    check_trusted_proxies(settings.trusted_proxies, name)
    if settings.acme_email and not EMAIL.fullmatch(settings.acme_email):
        raise ConfigError(f'{name}: acme_email: {settings.acme_email!r}: write an address such as "you@example.com"')
    if not HTTPS.fullmatch(settings.acme_ca):
        raise ConfigError(f'{name}: acme_ca: {settings.acme_ca!r}: write an address that begins with "https://"')
    check_bind(settings.bind, name, example="192.0.2.1")


def _of_user(variable: str, folder: str) -> Path:
    given = os.environ.get(variable, "")
    return (Path(given) if given.startswith("/") else Path.home() / folder) / "slot-machine"
