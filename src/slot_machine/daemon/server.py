"""The API's connections: bounded in number, so that the daemon's own work always finds file descriptors."""

import asyncio
import logging
import resource
import socket

from slot_machine.daemon.connection import Connection, Site

MOST_CONNECTIONS = 256
LARGEST_PART = 0.25
"""Each listening socket gets this part of the file descriptors, so its clients take none from the other socket's."""
BACKLOG = 128
RETRY_S = 1.0
"""The delay after a connection could not be accepted, mostly for lack of file descriptors."""
FIRST_REQUEST_S = 1.0
ANSWER_S = 1.0
SETTLE_S = 0.01
"""The event loop sees meanwhile which connections have sent a request already."""

log = logging.getLogger(__name__)


class Server:
    """Serves `site` on a listening socket, which stays open.

    If all places are taken, a connection is closed for a new one: the oldest on which nothing is being answered, or
    whose client does not send the request's body or read the answer.
    """

    def __init__(self, listener: socket.socket, site: Site, most: int = 0) -> None:
        """At most `most` connections are open; 0 is MOST_CONNECTIONS."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = min(most or MOST_CONNECTIONS, int(files * LARGEST_PART))
        self._listener = listener
        self._site = site
        self._loop = asyncio.get_running_loop()
        self._open: dict[Connection, None] = {}
        self._arriving: set[asyncio.Task[object]] = set()
        self._serving: dict[Connection, asyncio.Task[None]] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()

    def start(self) -> None:
        self._listener.listen(BACKLOG)
        self._listener.setblocking(False)
        self._accept_more()

    async def stop(self) -> None:
        """Accepts no more connections. Those that came before may each ask once more, and are answered."""
        self._loop.remove_reader(self._listener)
        if self._retry:
            self._retry.cancel()
        await asyncio.gather(*self._arriving, return_exceptions=True)
        await asyncio.sleep(SETTLE_S)
        for connection in list(self._open):
            connection.finish()
        await self._ended(FIRST_REQUEST_S)
        for connection in list(self._open):
            if not connection.answering:
                connection.abort()
        await self._ended(ANSWER_S)
        for task in self._serving.values():
            task.cancel()
        await asyncio.gather(*self._serving.values(), return_exceptions=True)

    async def _ended(self, limit_s: float) -> None:
        if self._serving:
            await asyncio.wait(self._serving.values(), timeout=limit_s)

    def came(self, connection: Connection) -> None:
        self._open[connection] = None
        if len(self._open) > self._most:
            least = next((other for other in self._open if other.makes_room), connection)
            del self._open[least]
            least.abort()
        task = self._loop.create_task(connection.serve())
        self._serving[connection] = task
        task.add_done_callback(lambda _: self._serving.pop(connection))

    async def turn(self) -> None:
        """Waits until a connection may go on. One does in an iteration of the event loop.

        Parsing and answering take long for hostile requests. The daemon's own work comes in between.
        """
        async with self._turn:
            await asyncio.sleep(0)

    def went(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        if not connection.answering and connection in self._serving:
            # Turns come more slowly than new connections may.
            self._serving[connection].cancel()

    def _accept_more(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("the API can't accept a connection: %s", error)
                self._loop.remove_reader(self._listener)
                self._retry = self._loop.call_later(RETRY_S, self._accept_more)
                return
            accepted.setblocking(False)
            made = self._loop.connect_accepted_socket(lambda: Connection(self._site, self), accepted)
            task: asyncio.Task[object] = self._loop.create_task(made)
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)
