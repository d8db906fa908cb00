"""Passes connections that reach a version which is about to stop to the live one."""

import asyncio
import os
import socket
from contextlib import suppress

CHUNK = 65_536


class Relay:
    """Accepts connections on a duplicate of a non-blocking listening socket. The app may still accept some, too."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop.add_reader(listener, self._accept)
        self._accept()

    def close(self) -> None:
        """Accepts what is in the queue, then stops. Connections that were accepted stay open."""
        self._accept()
        self._loop.remove_reader(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                task = self._loop.create_task(_pass_on(client))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


def can_share(listener: socket.socket) -> bool:
    """Whether the socket is non-blocking. To set that here would set it for the app, too."""
    return not os.get_blocking(listener.fileno())


async def _pass_on(client: socket.socket) -> None:
    """Connects to the same address, where the kernel steers the connection to the live version."""
    client.setblocking(False)
    app = socket.socket(client.family)
    app.setblocking(False)
    loop = asyncio.get_running_loop()
    with client, app, suppress(OSError):
        await loop.sock_connect(app, client.getsockname())
        async with asyncio.TaskGroup() as both:
            both.create_task(_copy(client, app))
            both.create_task(_copy(app, client))


async def _copy(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    try:
        while data := await loop.sock_recv(source, CHUNK):
            await loop.sock_sendall(sink, data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
