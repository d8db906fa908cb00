"""The life of the edge service: sockets, Traefik, clients; until SIGTERM or SIGINT."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from pathlib import Path

from slot_machine.edge import binary, folder, place, server, static
from slot_machine.edge.edge import WISHES, Edge
from slot_machine.edge.server import Server
from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.sockets import Sockets
from slot_machine.edge.traefik import Runner

TOKEN = "token"
TELL_LIMIT_S = 1.0

log = logging.getLogger(__name__)


async def run(settings: EdgeSettings) -> None:
    """Raises StartRefused."""
    # Traefik, too, would say that it is ready.
    manager = os.environ.pop("NOTIFY_SOCKET", "")
    traefik = binary.find()
    state = Path(settings.state)
    for each in (state, state / static.ROUTES, state / WISHES):
        folder.make(each)
    ended = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, ended.set)
    with contextlib.ExitStack() as stack:
        clients = stack.enter_context(server.listening(place.own()))
        sockets = Sockets(settings)
        sockets.check()
        runner = Runner(sockets)
        edge = Edge(settings, traefik, runner, folder.token(state / TOKEN))
        try:
            await edge.start()
            serving = await Server(edge).start(clients)
            log.info("ready: Traefik %s on ports %d and %d", traefik.version, settings.http_port, settings.https_port)
            _tell_ready(manager)
            keeping = asyncio.get_running_loop().create_task(edge.keep())
            await ended.wait()
            log.info("stopping")
            keeping.cancel()
            serving.close()
        finally:
            await runner.stop()
    with contextlib.suppress(OSError):
        (place.own() / place.NAME).unlink()


def _tell_ready(manager: str) -> None:
    """`manager` is the address of systemd's socket (sd_notify(3)); empty if there is none."""
    if manager:
        address = f"\0{manager[1:]}" if manager.startswith("@") else manager
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.settimeout(TELL_LIMIT_S)
            connection.sendto(b"READY=1", address)
