"""The data plane's protocols on wires in memory: no socket, no process."""

import asyncio
import socket
from types import SimpleNamespace
from typing import NamedTuple

from slot_machine.core.upstream import PUBLIC, Address, Beside, Upstream
from slot_machine.proxy.exchange import Connection, Exchange
from slot_machine.proxy.inbound import ClientConnection
from slot_machine.proxy.outbound import AppConnection
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.server import DataPlaneServer
from slot_machine.proxy.shared import Shared
from slot_machine.proxy.wire import Settings
from tests.proxy.talk import GET, SWITCHED, UPGRADE

OURS, THEIRS = socket.socketpair()
NOTHING_TO_READ = OURS.fileno()
NO_SETTINGS = Settings()


class Wire(asyncio.Transport):
    """Takes everything at once."""

    def __init__(self, fd: int = NOTHING_TO_READ) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "socket": SimpleNamespace(fileno=lambda: fd)})
        self.written = b""
        self.paused = False
        self.closed = False
        self.protocol: asyncio.BaseProtocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closed:
            self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def write_eof(self) -> None:
        pass


class Idle:
    """A connection at rest; its file descriptor is one that has nothing to read."""

    def __init__(self, fd: int) -> None:
        self.idle_since_s = 0.0
        self.closed = False
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def cut(self) -> None:
        self.closed = True


SIZED = b"Content-Length: 1000000"


class Ends(Shared):
    """A client's connection, and the one to the app that goes with it."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.server = DataPlaneServer(Settings(), self)
        self.router.route(Upstream(1, "a", {PUBLIC: Address("127.0.0.1", 1)}))
        self.client_wire, self.app_wire = Wire(), Wire()
        self.client = ClientConnection(self, PUBLIC)
        self.client.connection_made(self.client_wire)

    def connect(self, pool: Pool[Connection], exchange: Exchange) -> None:
        self.app = AppConnection(pool)
        self.app.connection_made(self.app_wire)
        asyncio.get_running_loop().call_soon(exchange.opened, self.app)


async def downloading(framing: bytes) -> Ends:
    ends = Ends()
    ends.client.data_received(GET)
    await asyncio.sleep(0)
    ends.app.data_received(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
    return ends


async def upgraded() -> Ends:
    ends = Ends()
    ends.client.data_received(UPGRADE)
    await asyncio.sleep(0)
    ends.app.data_received(SWITCHED)
    return ends


def protocol(wire: Wire) -> asyncio.Protocol:
    """What an end of a tunnel is read by."""
    assert isinstance(wire.protocol, asyncio.Protocol)
    return wire.protocol


LIVE = Upstream(1, "a", {PUBLIC: Address("127.0.0.1", 1)})
CANDIDATE = Upstream(2, "b", {PUBLIC: Address("127.0.0.1", 2)})


class Asked(NamedTuple):
    """A connection to the app in `slot`, opened for a request."""

    slot: str
    app: AppConnection
    wire: Wire


class Sides(Shared):
    """The live version in slot a, and perhaps one beside it in slot b. `asked` are their connections in order."""

    def __init__(self, beside: Beside | None = None, settings: Settings = NO_SETTINGS) -> None:
        super().__init__(settings)
        self.server = DataPlaneServer(settings, self)
        self.asked: list[Asked] = []
        self.router.route(LIVE, beside=beside)

    def connect(self, pool: Pool[Connection], exchange: Exchange) -> None:
        assert exchange.route
        app, wire = AppConnection(pool), Wire()
        app.connection_made(wire)
        self.asked.append(Asked(exchange.route.upstream.slot, app, wire))
        exchange.opened(app)

    def client(self, listener: str = PUBLIC) -> tuple[ClientConnection, Wire]:
        client, wire = ClientConnection(self, listener), Wire()
        client.connection_made(wire)
        return client, wire

    def ask(self, head: bytes, listener: str = PUBLIC) -> Wire:
        """A request by a client of its own. What the client gets is written to the wire."""
        client, wire = self.client(listener)
        client.data_received(head)
        return wire
