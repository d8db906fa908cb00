"""`slot-machine.json`: read, checked and written."""

import difflib
import ipaddress
import posixpath
import re
from typing import get_args

import msgspec

from slot_machine.core import domains, hosts
from slot_machine.core.config import Config
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.domains import BadDomain
from slot_machine.core.errors import ConfigError
from slot_machine.core.fields import EventName
from slot_machine.core.schedule import BadSchedule, Schedule
from slot_machine.core.version_config import Process, VersionConfig

FIELDS = VersionConfig.__struct_fields__ + DaemonConfig.__struct_fields__

WRITTEN = {"start_command", "health_endpoint", "health_timeout_ms", "drain_timeout_ms", "port", "api_port"}
"""The fields that `init` writes even if they have their defaults."""

NO_START_COMMAND = 'start_command is empty: fill in how to start the app, for example "node server.js"'

PATTERNS = {
    "health_endpoint": "expected a path that begins with / and has no spaces",
    "rehearse": "expected a path that begins with / and has no spaces",
    "health_status": 'expected a status or a range, such as 200 or "200-399"',
    "health_host": "expected a host name, without spaces",
    "processes": "expected names of a-z, 0-9, - and _ that begin with a letter",
    "push_branch": "expected the name of a branch, such as main, without refs/heads/",
    "cron": "expected names of a-z, 0-9, - and _ that begin with a letter",
    "follow.remote": "expected the name or the address of a remote, such as origin",
    "follow.branch": "expected the name of a branch, such as main",
    "webhook.path": "expected a path that begins with / and has no spaces, ? or #",
    "webhook.secret_env": "expected the name of a variable, such as HOOK_SECRET",
    "base_image": "expected the name of an image, such as python:3.12-slim",
    "engine.context": "expected the name of a context, as `docker context ls` or `kubectl config get-contexts` has it",
    "engine.registry": "expected a host and a path, such as registry.example.com/team",
    "engine.namespace": "expected the name of a namespace: a-z, 0-9 and -",
    "engine.gateway": "expected NAMESPACE/NAME of a Gateway",
    "engine.nfs": "expected SERVER:/PATH",
    "engine.nodes": "expected where ssh reaches the node, such as deploy@10.0.0.2",
    "engine": "expected a name of a-z, 0-9, - and .",
    "webhook.domain": "expected a host name, such as shop.example.com",
    "public_url": "expected an address without a path, such as https://shop.example.com",
    "share_cookie": "expected the name of a cookie",
}
"""What is expected where a field's pattern does not match."""


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
        raise ConfigError(f"{name}: {_in_words(str(error))}") from None
    _check(config, name)
    return config, [*_unknown_fields(raw, name), *_without_effect(config, name)]


def parse_version(text: bytes | str, name: str = FILE_NAME) -> tuple[VersionConfig, dict[str, object], list[str]]:
    """Returns what a commit's file says of its version, all of its fields, and warnings. Raises ConfigError.

    The fields of the daemon are not checked: in a commit they have no effect.
    """
    raw = _object(text, name)
    try:
        version = msgspec.convert(raw, VersionConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_in_words(str(error))}") from None
    if not version.start_command.strip():
        raise ConfigError(f"{name}: {NO_START_COMMAND}")
    _check_version(version, name)
    return version, raw, _unknown_fields(raw, name)


def with_api_port(config: Config, api_port: int) -> Config:
    """Raises ConfigError."""
    changed = config._replace(daemon=msgspec.structs.replace(config.daemon, api_port=api_port))
    _check(changed, FILE_NAME)
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


def _check(config: Config, name: str) -> None:
    version, daemon = config
    if not version.start_command.strip() and not daemon.app_config:
        raise ConfigError(f"{name}: {NO_START_COMMAND}")
    _check_version(version, name)
    if daemon.app_config:
        _parts("app_config", daemon.app_config, name)
    if daemon.api_port in (daemon.port, daemon.internal_port):
        raise ConfigError(f"{name}: api_port {daemon.api_port} is also the app's port: give one of them another number")
    if daemon.preview_port in (daemon.port, daemon.internal_port, daemon.api_port):
        what = f"preview_port {daemon.preview_port} is also port, internal_port or api_port"
        raise ConfigError(f"{name}: {what}: give one of them another number")
    _check_addresses(daemon, name)
    _check_webhook(daemon, name)
    if daemon.name and not daemon.name.isprintable():
        raise ConfigError(f'{name}: name: {daemon.name!r} has control characters: write a name such as "shop"')
    for event, command in daemon.hooks.items():
        if not command.strip():
            raise ConfigError(f"{name}: hooks.{event}: the command is empty")
    _check_characters(daemon, name)
    for field, path in (
        ("env_file", daemon.env_file),
        ("access_log", daemon.access_log),
        ("maintenance_page", daemon.maintenance_page),
    ):
        if path and posixpath.normpath(path) == ".":
            raise ConfigError(f"{name}: {field} must name a file, not the folder")


def _check_addresses(daemon: DaemonConfig, name: str) -> None:
    try:
        domains.check(daemon.domains, daemon.redirects)
    except BadDomain as error:
        raise ConfigError(f"{name}: {'domains' if not daemon.redirects else 'domains, redirects'}: {error}") from None
    for stage, servers in daemon.hosts.items():
        try:
            hosts.each(servers)
        except ValueError as error:
            raise ConfigError(f"{name}: hosts: {stage}: {error}") from None
    for network in daemon.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            example = 'write an address or a network such as "10.0.0.0/8"'
            raise ConfigError(f"{name}: trusted_proxies: {error}: {example}") from None
    if daemon.bind:
        try:
            ipaddress.ip_address(daemon.bind)
        except ValueError as error:
            raise ConfigError(f'{name}: bind: {error}: write an address such as "127.0.0.1"') from None


def _check_webhook(daemon: DaemonConfig, name: str) -> None:
    port = daemon.webhook_port
    if daemon.webhook and not port and not daemon.webhook.domain:
        raise ConfigError(f"{name}: webhook needs a port to listen on: set webhook_port")
    for field in ("port", "internal_port", "api_port", "preview_port"):
        if port and port == getattr(daemon, field):
            raise ConfigError(f"{name}: webhook_port {port} is also {field}: give one of them another number")


def _without_effect(config: Config, name: str) -> list[str]:
    """Warnings of fields that need others."""
    daemon = config.daemon
    lacks = {
        "webhook has no effect without follow: all that a call does is to let follow look": (
            daemon.webhook and not daemon.follow
        ),
        "webhook_port has no effect without webhook": daemon.webhook_port and not daemon.webhook,
    }
    return [f"{name}: {what}" for what, holds in lacks.items() if holds]


def _check_version(version: VersionConfig, name: str) -> None:
    if "web" in version.processes:
        raise ConfigError(f"{name}: processes: the web process is start_command, so no other one is called web")
    for process, worker in version.workers.items():
        if worker.singleton and worker.count > 1:
            raise ConfigError(f"{name}: processes.{process}: a singleton can't have a count of {worker.count}")
    commands = {f"processes.{process}": worker.command for process, worker in version.workers.items()}
    commands |= {f"cron.{job}": entry.command for job, entry in version.cron.items()}
    for field, command in commands.items():
        if not command.strip():
            raise ConfigError(f"{name}: {field}: the command is empty")
    for job, entry in version.cron.items():
        try:
            Schedule(entry.schedule)
        except BadSchedule as error:
            raise ConfigError(f"{name}: cron.{job}.schedule: {error}") from None
    _check_paths(version, name)
    _check_characters(version, name)


def _check_characters(fields: VersionConfig | DaemonConfig, name: str) -> None:
    for field, value in msgspec.to_builtins(fields).items():
        if "\\u0000" in msgspec.json.encode(value).decode():
            raise ConfigError(f"{name}: {field} contains a NUL character")


def _check_paths(version: VersionConfig, name: str) -> None:
    if version.root:
        _parts("root", version.root, name)
    seen: list[tuple[str, tuple[str, ...]]] = []
    for field in ("shared_dirs", "shared_files", "asset_dirs"):
        for path in getattr(version, field):
            parts = _parts(field, path, name)
            for other, others in seen:
                if parts[: len(others)] == others or others[: len(parts)] == parts:
                    raise ConfigError(f"{name}: {field}: {path!r} overlaps with {other!r}: name only one of them")
            seen.append((path, parts))


def _parts(field: str, path: str, name: str) -> tuple[str, ...]:
    """The path's components. Raises ConfigError."""
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    leaves = path.startswith("/") or ".." in parts or ".git" in parts
    if leaves or not path.isprintable() or (not parts and field != "root"):
        raise ConfigError(
            f'{name}: {field}: {path!r} must be a path below the app\'s folder, without .. and .git, such as "data"'
        )
    return parts


def _in_words(error: str) -> str:
    """msgspec's message with the field first: ``port: expected `int`, got `str` ``."""
    what, _, where = error.replace("`key` in `$", "`$").partition(" - at `$.")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", what)
    if missing:
        return f"{where.rstrip('`')}{'.' if where else ''}{missing[1]} is missing"
    if not where:
        return what
    if unknown := re.fullmatch(r"Object contains unknown field `(\w*)`", what):
        what = f"there is no field {unknown[1]!r} in it"
    if what.startswith("Invalid enum value") and where.startswith("hooks"):
        what = f"expected one of {', '.join(get_args(EventName))}, not {what.rpartition(' ')[2]}"
    if what.startswith("Invalid enum value") and where.startswith("rehearse"):
        what = f'expected a list of paths, or "recent", not {what.rpartition(" ")[2]}'
    if where.startswith("engine.kind") and what.startswith("Invalid value"):
        what = f'expected "swarm" or "kubernetes", not {what.split()[-1]}'
    if "matching regex" in what:
        what = next((words for field, words in PATTERNS.items() if where.startswith(field)), what)
    return f"{where.rstrip('`')}: {what[0].lower()}{what[1:]}"


def _unknown_fields(raw: dict[str, object], name: str) -> list[str]:
    return [_unknown(field, name) for field in raw if field not in FIELDS]


def _unknown(field: str, name: str) -> str:
    near = [name for name in FIELDS if name.startswith(f"{field}_")] or difflib.get_close_matches(field, FIELDS, 1, 0)
    return f"{name}: unknown field {field!r} is ignored; did you mean {near[0]!r}?"
