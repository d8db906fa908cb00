"""`start`: what the file and the command line say is checked, then this process becomes the daemon."""

import asyncio
import json
import logging
import os
from pathlib import Path

from slot_machine.app.opening import Options
from slot_machine.core.config_file import parse, with_api_port, with_name
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.defaults import DATA_NAME
from slot_machine.core.errors import ConfigError
from slot_machine.core.fields import RECENT
from slot_machine.daemon import configuration, edge_link, reload, webhook
from slot_machine.daemon.run import run as run_daemon
from slot_machine.host import timezone
from slot_machine.host.files.regular import check_appendable
from slot_machine.host.process import title
from slot_machine.host.user import access, rights
from slot_machine.host.user.rights import Account


def options(
    config_file: Path, repo: Path | None, data: Path | None, api_port: int | None, *, proxy: bool, rebuild_state: bool
) -> Options:
    """Paths and `api_port` from the command line override those of the file. Raises ConfigError."""
    config, warnings = parse(configuration.read(config_file), config_file.name)
    for warning in warnings:
        logging.warning("%s", warning)
    as_read = config
    if api_port:
        config = with_api_port(config, api_port)
    if not proxy and config.version.strategy == "replace":
        raise ConfigError(
            'strategy "replace" needs the proxy, which holds the requests', "leave out --no-proxy, or strategy"
        )
    if not proxy and config.daemon.bind:
        raise ConfigError(
            "bind needs the proxy: with --no-proxy the app itself listens",
            "leave out --no-proxy, or leave out bind and tell the app where to listen",
        )
    if not proxy and config.daemon.preview_port:
        raise ConfigError(
            "preview_port needs the proxy: with --no-proxy no version can be held",
            "leave out --no-proxy, or leave out preview_port",
        )
    if not proxy and config.version.rehearse == RECENT:
        raise ConfigError(
            f'rehearse "{RECENT}" needs the proxy, which counts the requests',
            "leave out --no-proxy, or name the paths",
        )
    timezone.find(config.daemon.cron_timezone)
    config_file = config_file.resolve()
    folder = config_file.parent
    config = with_name(config, folder.name)
    repo = (repo or folder).resolve()
    data = (data or (folder / config.daemon.data if config.daemon.data else repo / DATA_NAME)).resolve()
    return Options(config, as_read, config_file, repo, data, proxy, rebuild_state)


def run(options: Options, config_file: Path, *, only_check: bool) -> None:
    """Raises ConfigError, StartRefused, EdgeRefused."""
    config = options.config.daemon
    refuse_engine(config)
    user = rights.find(config.user_name, config.group_name) if os.geteuid() == 0 else None
    other_user = user if user and not user.is_ours else None
    options = edge_link.checked(options)
    if config.access_log:
        _check_access_log(options.config_file.parent / config.access_log, other_user)
    if only_check:
        reload.check_data_plane()
        if config.webhook:
            webhook.secret_of(options)
        print(json.dumps(reload.answer(options), indent=2), flush=True)
        return
    if other_user:
        _warn_of_writable(config_file.resolve(), other_user)
    title.show(config.name or "", "daemon")
    handed = asyncio.run(run_daemon(options))
    if handed:
        reload.again(handed)


def refuse_engine(config: DaemonConfig) -> None:
    """Raises ConfigError if a cluster is to run the app."""
    if config.engine:
        raise ConfigError(
            "slot-machine.json has an `engine`: a cluster runs the app, and no daemon",
            "`slot-machine deploy` brings a commit to it; without `engine`, this machine runs the app",
        )


def _check_access_log(log: Path, other_user: Account | None) -> None:
    # Only root writes to /dev itself, but everybody may write to /dev/shm.
    if other_user and log.parent != Path("/dev") and (changed := access.replaceable(log, other_user)):
        raise ConfigError(
            f"{other_user.name} can lead access_log {log} elsewhere: {changed} is writable for {other_user.name}",
            "name one in a folder that only root can change, such as /var/log",
        )
    try:
        check_appendable(log)
    except OSError as error:
        raise ConfigError(f"cannot use access_log {log}: {error.strerror}", "name another file") from None


def _warn_of_writable(config_file: Path, other_user: Account) -> None:
    if access.replaceable(config_file, other_user) or access.writable([config_file], other_user):
        logging.warning(
            "%s can change %s, and so whom the next start runs as: keep it where only root writes, and name it"
            " with --config, and the repository with --repo",
            other_user.name,
            config_file,
        )
