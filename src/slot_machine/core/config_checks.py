"""What a type can't say of the fields of `slot-machine.json`. Each check raises ConfigError, in one line."""

import posixpath

import msgspec

from slot_machine.core import domains, hosts
from slot_machine.core.addresses import check_bind, check_trusted_proxies
from slot_machine.core.config import Config
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.domains import BadDomain
from slot_machine.core.errors import ConfigError
from slot_machine.core.schedule import BadSchedule, Schedule
from slot_machine.core.version_config import VersionConfig

NO_START_COMMAND = 'start_command is empty: fill in how to start the app, for example "node server.js"'


def check(config: Config, name: str) -> None:
    version, daemon = config
    if not version.start_command.strip() and not daemon.app_config:
        raise ConfigError(f"{name}: {NO_START_COMMAND}")
    check_version(version, name)
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
    check_trusted_proxies(daemon.trusted_proxies, name)
    check_bind(daemon.bind, name, example="127.0.0.1")


def _check_webhook(daemon: DaemonConfig, name: str) -> None:
    port = daemon.webhook_port
    if daemon.webhook and not port and not daemon.webhook.domain:
        raise ConfigError(f"{name}: webhook needs a port to listen on: set webhook_port")
    for field in ("port", "internal_port", "api_port", "preview_port"):
        if port and port == getattr(daemon, field):
            raise ConfigError(f"{name}: webhook_port {port} is also {field}: give one of them another number")


def without_effect(config: Config, name: str) -> list[str]:
    """Warnings of fields that need others."""
    version, daemon = config
    lacks = {
        "webhook has no effect without follow: all that a call does is to let follow look": (
            daemon.webhook and not daemon.follow
        ),
        "webhook_port has no effect without webhook": daemon.webhook_port and not daemon.webhook,
        "share_cookie_values has no effect without share_cookie": version.share_cookie_values
        and not version.share_cookie,
    }
    return [f"{name}: {what}" for what, holds in lacks.items() if holds]


def check_version(version: VersionConfig, name: str) -> None:
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
