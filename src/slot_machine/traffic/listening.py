"""The public listeners, and what the data plane is told when it starts."""

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from slot_machine import __version__
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.upstream import INTERNAL, PREVIEW, PUBLIC
from slot_machine.edge import link
from slot_machine.host.network import ports
from slot_machine.proxy.wire import Limits, Settings
from slot_machine.traffic.worker import Left

log = logging.getLogger(__name__)


def listeners(config: DaemonConfig, left: Sequence[Left]) -> dict[str, socket.socket]:
    """Takes the listeners of workers that are left, so that no connection in their queues is lost; else binds new ones.

    Raises StartRefused.
    """
    wanted = {PUBLIC: config.port}
    if config.internal_port != config.port:
        wanted[INTERNAL] = config.internal_port
    if config.preview_port:
        wanted[PREVIEW] = config.preview_port
    for found in left:
        given = found.introduction.listeners
        same = {name: listener for name, listener in given.items() if listener.getsockname()[1] == wanted.get(name)}
        if wanted.keys() - same.keys() <= {PREVIEW} >= given.keys() - same.keys():
            # socket.dup() would make the socket blocking, for the workers too.
            taken = {name: socket.socket(fileno=os.dup(listener.fileno())) for name, listener in same.items()}
            return taken | _bound({name: port for name, port in wanted.items() if name not in same}, config)
    return _bound(wanted, config)


def _bound(wanted: Mapping[str, int], config: DaemonConfig) -> dict[str, socket.socket]:
    return {
        name: ports.bind_public(port, config.address) if name == PUBLIC else ports.bind_loopback(port)
        for name, port in wanted.items()
    }


def warn_of_address(config: DaemonConfig, listeners: Mapping[str, socket.socket]) -> None:
    """Listeners are taken over as they are from workers of a killed daemon, and from an image that did not know `bind`.

    A second socket could not be bound beside them.
    """
    if config.preview_port and PREVIEW not in listeners:
        log.error("preview_port %d is not in use yet: stop the daemon and start it again", config.preview_port)
    public = listeners[PUBLIC]
    if not ports.is_at(public, config.address):
        log.error(
            "port %d still listens on %s, not on %s: stop the daemon and start it again",
            config.port,
            public.getsockname()[0],
            config.address or "all interfaces",
        )


def settings(config: DaemonConfig, folder: Path, data: Path) -> Settings:
    if config.domains:
        # Also before the edge is asked: a worker must not start without it.
        link.secret_of(data)
    access_log = Path(os.path.abspath(folder / config.access_log)) if config.access_log else None
    return Settings(
        version=__version__,
        limits=Limits(response_s=config.response_timeout_ms / 1000),
        trusted_proxies=config.trusted_proxies,
        access_log=str(access_log) if access_log else "",
        access_log_mode=0o600 if access_log and access_log.is_relative_to(data) else 0o640,
        edge_secret_file=str(link.secret_file(data)) if config.domains else "",
        access_log_combined=config.access_log_format == "combined",
    )


def workers(config: DaemonConfig) -> int:
    return len(os.sched_getaffinity(0)) if config.proxy_workers == "auto" else config.proxy_workers
