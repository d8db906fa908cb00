"""Connections that reached a version which is about to stop: passed on to the one that took over."""

import asyncio
import os
import socket
from contextlib import suppress

CHUNK = 65_536


class Relay:
    """Accepts on a duplicate of a listening socket that does not block, beside its owner while that lives."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop.add_reader(listener, self._accept)
        self._accept()

    def close(self) -> None:
        """What was accepted goes on."""
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
    """Whether accepting beside its owner can't block. Setting O_NONBLOCK here would set it for the owner as well."""
    return not os.get_blocking(listener.fileno())


async def _pass_on(client: socket.socket) -> None:
    """To the same address: the kernel steers it."""
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
