"""`python -m slot_machine.proxy FD APP NUMBER`: a worker, with its settings in a file. The daemon starts it."""

import asyncio
import resource
import signal
import socket
import sys

import uvloop

from slot_machine.host import printing
from slot_machine.host.process import title
from slot_machine.proxy.control import ControlConnection
from slot_machine.proxy.server import DataPlaneServer
from slot_machine.proxy.shared import Shared
from slot_machine.proxy.wire import Settings


async def serve(settings: Settings) -> None:
    """Returns on SIGTERM, or once it has retired."""
    loop = asyncio.get_running_loop()
    shared = Shared(settings)
    server = DataPlaneServer(settings, shared)
    loop.add_signal_handler(signal.SIGTERM, server.stopped.set)
    await server.listen({name: socket.socket(fileno=fd) for name, fd in settings.listener_fds.items()})
    control = socket.socket(fileno=settings.control_fd)
    # uvloop closes a server that nobody refers to, and another daemon may connect at any time.
    control_server = await loop.create_unix_server(lambda: ControlConnection(server), sock=control)
    async with control_server, asyncio.TaskGroup() as tasks:
        keeping = [tasks.create_task(server.keep_limits()), tasks.create_task(server.keep_log())]
        await server.stopped.wait()
        await server.end_streams()
        server.cut()
        for task in keeping:
            task.cancel()


def allow_many_files() -> None:
    """Each client takes a file descriptor, and so does its request's connection to the app."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(settings: Settings) -> None:
    allow_many_files()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    printing.guard()
    title.show(sys.argv[2], f"proxy {sys.argv[3]}")
    main(Settings.inherited(int(sys.argv[1])))
