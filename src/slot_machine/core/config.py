"""The configuration: its fields, their defaults, and the words for what is wrong with one."""

import difflib
import ipaddress
import posixpath
import re
from typing import Annotated, Literal

import msgspec

from slot_machine.core.defaults import API_PORT, FILE_NAME, LARGEST_PORT
from slot_machine.core.errors import ConfigError

Port = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_PORT)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=86_400_000)]
Number = Annotated[int, msgspec.Meta(ge=0, le=4_294_967_294)]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of `slot-machine.json`. An optional command or path that is empty or null is not used."""

    start_command: str
    setup_command: str | None = ""
    setup_timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=86_400_000)] = 900_000
    port: Port = 3000
    internal_port: Port = 0
    """Equal to `port` where the file does not say otherwise."""
    health_endpoint: Annotated[str, msgspec.Meta(pattern=r"^/[!-~]*$")] = "/healthz"
    health_timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=86_400_000)] = 10_000
    health_interval_ms: Millis = 5_000
    """How often the live app is asked; 0 is never."""
    restart_when_unhealthy: bool = False
    drain_timeout_ms: Millis = 5_000
    """The whole budget from the switch to SIGKILL."""
    env_file: str | None = ""
    """Relative to the configuration's folder."""
    api_port: Port = API_PORT
    api_auth: bool = True
    """Whether only the daemon's user, root, and who has the token may change anything over `api_port`."""
    strategy: Literal["overlap", "replace"] = "overlap"
    """`replace`: the old version stops before the new one starts, and the proxy holds requests meanwhile."""
    proxy_workers: Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"] = 1
    """Data-plane processes; `auto` is one per core."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Addresses and networks whose X-Forwarded-* and X-Request-Id are believed."""
    response_timeout_ms: Millis = 60_000
    """From a whole request to the head of its reply; 0 is never."""
    access_log: str | None = ""
    """Relative to the configuration's folder."""
    log_max_mb: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 10
    """How large the log of a slot grows before it is rotated; 0 is without a limit."""
    log_keep: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    """How many rotated logs a slot keeps."""
    spare_tree: bool = True
    """Whether a third tree is kept, so that what is prepared never overwrites the previous version."""
    user: str | Number | None = ""
    """Whom setup, app and git run as, where the daemon is root's."""
    group: str | Number | None = ""
    """Instead of the first group of `user`."""
    data: str | None = ""
    """The data folder, relative to the configuration's folder."""

    def __post_init__(self) -> None:
        if self.internal_port == 0:
            msgspec.structs.force_setattr(self, "internal_port", self.port)

    @property
    def user_name(self) -> str:
        """A name or a number; empty for the daemon's own."""
        return _named(self.user)

    @property
    def group_name(self) -> str:
        return _named(self.group)

    @property
    def setup_timeout_s(self) -> float:
        return self.setup_timeout_ms / 1000

    @property
    def health_timeout_s(self) -> float:
        return self.health_timeout_ms / 1000

    @property
    def health_interval_s(self) -> float:
        return self.health_interval_ms / 1000

    @property
    def drain_timeout_s(self) -> float:
        return self.drain_timeout_ms / 1000


FIELDS = Config.__struct_fields__


def parse(text: bytes | str, name: str = FILE_NAME) -> tuple[Config, list[str]]:
    """Returns the configuration and its warnings.

    Raises ConfigError, in one line that starts with `name`.
    """
    raw = _object(text, name)
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_in_words(str(error))}") from None
    _check(config, name)
    return config, [_unknown(field, name) for field in raw if field not in FIELDS]


def with_api_port(config: Config, api_port: int) -> Config:
    """Raises ConfigError."""
    changed = msgspec.structs.replace(config, api_port=api_port)
    _check(changed, FILE_NAME)
    return changed


def to_fields(config: Config) -> dict[str, object]:
    """All fields of the file, but for an `internal_port` that follows `port`."""
    fields: dict[str, object] = msgspec.to_builtins(config)
    if config.internal_port == config.port:
        del fields["internal_port"]
    return fields


def render(config: Config) -> str:
    return msgspec.json.format(msgspec.json.encode(to_fields(config)), indent=2).decode() + "\n"


def _named(value: str | int | None) -> str:
    return "" if value is None else str(value)


def _object(text: bytes | str, name: str) -> dict[str, object]:
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: not valid JSON: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f'{name}: expected an object like {{"start_command": "node server.js"}}')
    return raw


def _check(config: Config, name: str) -> None:
    if not config.start_command.strip():
        raise ConfigError(f'{name}: start_command is empty: fill in how to start the app, for example "node server.js"')
    if config.api_port in (config.port, config.internal_port):
        raise ConfigError(f"{name}: api_port {config.api_port} is also the app's port: give one of them another number")
    for network in config.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            example = 'write an address or a network such as "10.0.0.0/8"'
            raise ConfigError(f"{name}: trusted_proxies: {error}: {example}") from None
    for field in ("start_command", "setup_command", "env_file", "access_log", "user", "group", "data"):
        if "\0" in str(getattr(config, field) or ""):
            raise ConfigError(f"{name}: {field} contains a NUL character")
    if config.env_file and posixpath.normpath(config.env_file) == ".":
        raise ConfigError(f"{name}: env_file must name a file, not the folder")
    if config.access_log and posixpath.normpath(config.access_log) == ".":
        raise ConfigError(f"{name}: access_log must name a file, not the folder")


def _in_words(error: str) -> str:
    """msgspec's message with the field first: ``port: expected `int`, got `str` ``."""
    what, _, where = error.partition(" - at `$.")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", what)
    if missing:
        return f"{missing[1]} is missing"
    if not where:
        return what
    if "matching regex" in what:
        what = "expected a path that begins with / and has no spaces"
    return f"{where.rstrip('`')}: {what[0].lower()}{what[1:]}"


def _unknown(field: str, name: str) -> str:
    near = difflib.get_close_matches(field, FIELDS, n=1, cutoff=0)
    return f"{name}: unknown field {field!r} is ignored; did you mean {near[0]!r}?"
