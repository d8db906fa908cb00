"""`python -m slot_machine.proxy SETTINGS`: a data-plane process. Started by the daemon."""

import asyncio
import signal
import socket
import sys

import msgspec
import uvloop

from slot_machine.proxy.control import ControlConnection
from slot_machine.proxy.server import DataPlaneServer
from slot_machine.proxy.wire import Settings


async def serve(settings: Settings) -> None:
    """Returns on SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = DataPlaneServer(settings.response_timeout_s, settings.hold_timeout_s)
    server.router.route(settings.upstream)
    await server.listen({name: socket.socket(fileno=fd) for name, fd in settings.listener_fds.items()})
    control = socket.socket(fileno=settings.control_fd)
    await loop.create_unix_server(lambda: ControlConnection(server), sock=control)
    sweeping = loop.create_task(server.sweep())
    stopping = loop.create_task(stopped.wait())
    await asyncio.wait([sweeping, stopping], return_when=asyncio.FIRST_COMPLETED)
    if sweeping.done():
        sweeping.result()
    sweeping.cancel()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(serve(msgspec.json.decode(sys.argv[1], type=Settings)))
