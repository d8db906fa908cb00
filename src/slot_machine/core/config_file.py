"""`slot-machine.json`: read and written."""

import difflib

import msgspec

from slot_machine.core.config import Config
from slot_machine.core.config_checks import NO_START_COMMAND, check, check_version, without_effect
from slot_machine.core.config_words import in_words
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.errors import ConfigError
from slot_machine.core.version_config import Process, VersionConfig

FIELDS = VersionConfig.__struct_fields__ + DaemonConfig.__struct_fields__

WRITTEN = {"start_command", "health_endpoint", "health_timeout_ms", "drain_timeout_ms", "port", "api_port"}
"""The fields that `init` writes even if they have their defaults."""


def parse(text: bytes | str, name: str = FILE_NAME) -> tuple[Config, list[str]]:
    """Returns the configuration and its warnings.

    With `app_config` it need not have a `start_command`, as each commit brings its own. Raises ConfigError, in one line
    that starts with `name`.
    """
    raw = _object(text, name)
    if raw.get("app_config"):
        raw = {"start_command": ""} | raw
    try:
        config = Config(msgspec.convert(raw, VersionConfig), msgspec.convert(raw, DaemonConfig))
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {in_words(str(error))}") from None
    check(config, name)
    return config, [*_unknown_fields(raw, name), *without_effect(config, name)]


def parse_version(text: bytes | str, name: str = FILE_NAME) -> tuple[VersionConfig, dict[str, object], list[str]]:
    """Returns what a commit's file says of its version, all of its fields, and warnings. Raises ConfigError.

    The fields of the daemon are not checked: in a commit they have no effect.
    """
    raw = _object(text, name)
    try:
        version = msgspec.convert(raw, VersionConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {in_words(str(error))}") from None
    if not version.start_command.strip():
        raise ConfigError(f"{name}: {NO_START_COMMAND}")
    check_version(version, name)
    return version, raw, _unknown_fields(raw, name)


def with_api_port(config: Config, api_port: int) -> Config:
    """Raises ConfigError."""
    changed = config._replace(daemon=msgspec.structs.replace(config.daemon, api_port=api_port))
    check(changed, FILE_NAME)
    return changed


def with_name(config: Config, folder: str) -> Config:
    """An app without a name has that of its folder."""
    name = config.daemon.name or printable(folder)
    return config._replace(daemon=msgspec.structs.replace(config.daemon, name=name))


def printable(folder: str) -> str:
    """A name for an app, with question marks in place of control characters."""
    return "".join(char if char.isprintable() else "?" for char in folder) or "app"


def to_fields(config: Config) -> dict[str, object]:
    """All fields of the file, but for an `internal_port` that follows `port`."""
    fields: dict[str, object] = msgspec.to_builtins(config.version) | msgspec.to_builtins(config.daemon)
    if config.daemon.internal_port == config.daemon.port:
        del fields["internal_port"]
    return fields


def render(config: Config) -> str:
    return msgspec.json.format(msgspec.json.encode(to_fields(config)), indent=2).decode() + "\n"


def short_fields(config: Config) -> dict[str, object]:
    """What `init` writes: the fields that most people change, and those that differ from their defaults."""
    plain = to_fields(Config(VersionConfig(start_command=""), DaemonConfig()))
    fields = to_fields(config)
    fields["processes"] = {name: _short(process) for name, process in config.version.processes.items()}
    names = [name for name, value in fields.items() if name in WRITTEN or value != plain.get(name)]
    return {name: fields[name] for name in sorted(names, key=_place)}


def render_short(config: Config) -> str:
    return msgspec.json.format(msgspec.json.encode(short_fields(config)), indent=2).decode() + "\n"


def _short(process: str | Process) -> object:
    """Without the fields that have their defaults."""
    plain = msgspec.to_builtins(Process(command=""))
    fields = msgspec.to_builtins(process)
    return (
        fields if isinstance(fields, str) else {name: value for name, value in fields.items() if value != plain[name]}
    )


def _place(name: str) -> int:
    return -1 if name == "name" else FIELDS.index(name)


def _object(text: bytes | str, name: str) -> dict[str, object]:
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid JSON: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f'{name}: expected an object like {{"start_command": "node server.js"}}')
    return raw


def _unknown_fields(raw: dict[str, object], name: str) -> list[str]:
    return [_unknown(field, name) for field in raw if field not in FIELDS]


def _unknown(field: str, name: str) -> str:
    near = [name for name in FIELDS if name.startswith(f"{field}_")] or difflib.get_close_matches(field, FIELDS, 1, 0)
    return f"{name}: unknown field {field!r} is ignored; did you mean {near[0]!r}?"
