"""The life of one image of the edge service: sockets, Traefik, clients; until SIGTERM, SIGINT or a reload."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from slot_machine.edge import binary, folder, place, server, static
from slot_machine.edge.edge import WISHES, Edge
from slot_machine.edge.reload import Handed
from slot_machine.edge.server import Server
from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.sockets import Sockets
from slot_machine.edge.traefik import Runner

TOKEN = "token"
TELL_LIMIT_S = 1.0

log = logging.getLogger(__name__)


async def run(settings: EdgeSettings) -> Handed | None:
    """Until SIGTERM or SIGINT, or a reload: then it returns what `reload.again` needs. Raises StartRefused."""
    before = Handed.inherited()
    # No child should say that it is ready.
    manager = os.environ.pop("NOTIFY_SOCKET", "") or (before.manager if before else "")
    traefik = binary.find()
    state = Path(settings.state)
    for each in (state, state / static.ROUTES, state / WISHES):
        folder.make(each)
    ended = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, ended.set)
    clients = socket.socket(fileno=before.clients_fd) if before else server.listening(place.own())
    with contextlib.closing(clients):
        sockets = Sockets(settings)
        runner = Runner(sockets)
        edge = Edge(settings, traefik, runner, folder.token(state / TOKEN))
        try:
            if before:
                server.tell(before.asker_fd, await edge.take_over(before))
            else:
                sockets.check()
                await edge.start()
            log.info("ready: Traefik %s on ports %d and %d", traefik.version, settings.http_port, settings.https_port)
            if await _serve(edge, clients, ended, lambda: _tell_ready(manager)):
                return await runner.hand_over(os.dup(clients.fileno()), edge.asker_fd, manager)
        finally:
            if not edge.reload_asked.is_set():
                await runner.stop()
    with contextlib.suppress(OSError):
        (place.own() / place.NAME).unlink()
    return None


async def _serve(edge: Edge, clients: socket.socket, ended: asyncio.Event, ready: Callable[[], None]) -> bool:
    """Returns whether it ends for a reload."""
    loop = asyncio.get_running_loop()
    serving = await Server(edge).start(clients)
    ready()
    keeping = loop.create_task(edge.keep())
    ends = [loop.create_task(each.wait()) for each in (ended, edge.reload_asked)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    log.info("reloading" if edge.reload_asked.is_set() else "stopping")
    keeping.cancel()
    if not edge.reload_asked.is_set():
        serving.close()
    return edge.reload_asked.is_set()


def _tell_ready(manager: str) -> None:
    """`manager` is the address of systemd's socket (sd_notify(3)); empty if there is none."""
    if manager:
        address = f"\0{manager[1:]}" if manager.startswith("@") else manager
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.settimeout(TELL_LIMIT_S)
            connection.sendto(b"READY=1", address)
