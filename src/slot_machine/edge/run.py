"""The life of the edge service: sockets, Traefik, clients; until SIGTERM or SIGINT."""

import asyncio
import contextlib
import logging
import secrets
import signal
from pathlib import Path

from slot_machine.edge import binary, folder, place, server, static
from slot_machine.edge.edge import WISHES, Edge
from slot_machine.edge.server import Server
from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.sockets import Sockets
from slot_machine.edge.traefik import Runner

log = logging.getLogger(__name__)


async def run(settings: EdgeSettings) -> None:
    """Raises StartRefused."""
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
        edge = Edge(settings, traefik, runner, secrets.token_hex(24))
        try:
            await edge.start()
            serving = await Server(edge).start(clients)
            log.info("ready: Traefik %s on ports %d and %d", traefik.version, settings.http_port, settings.https_port)
            keeping = asyncio.get_running_loop().create_task(edge.keep())
            await ended.wait()
            log.info("stopping")
            keeping.cancel()
            serving.close()
        finally:
            await runner.stop()
    with contextlib.suppress(OSError):
        (place.own() / place.NAME).unlink()
