"""The edge's Unix socket: one line in, one line out, and the kernel says which user asks."""

import asyncio
import contextlib
import logging
import socket
from collections import Counter, defaultdict
from pathlib import Path

import msgspec

from slot_machine.core.errors import SlotMachineError, StartRefused
from slot_machine.edge import place
from slot_machine.edge.edge import Edge
from slot_machine.edge.wire import Reply, Request
from slot_machine.host.network import peer

LARGEST_BYTES = 1 << 20
LIMIT_S = 10.0
"""In which a client has to send its line."""
SERVED, MOST = 20, 200
"""Clients of one user: that are served at once; that are connected. Nobody waits for the clients of another user."""
EVERYBODY = 0o666
REACHABLE = 0o755

log = logging.getLogger(__name__)


def tell(fd: int, reply: Reply) -> None:
    """The client whose connection came from the image before this one."""
    with contextlib.suppress(OSError), socket.socket(fileno=fd) as connection:
        connection.settimeout(LIMIT_S)
        connection.sendall(msgspec.json.encode(reply) + b"\n")


def listening(folder: Path) -> socket.socket:
    """Raises StartRefused, also if another edge of this user runs."""
    path = folder / place.NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(REACHABLE)
        with socket.socket(socket.AF_UNIX) as other, contextlib.suppress(OSError):
            other.connect(str(path))
            raise StartRefused("an edge runs already", "`slot-machine edge status` shows what it serves")
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(EVERYBODY)
    except OSError as error:
        raise StartRefused(f"cannot listen on {path}: {error.strerror}") from None
    listener.listen(MOST)
    return listener


class Server:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._connected: Counter[int] = Counter()
        self._turns: defaultdict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(SERVED))

    async def start(self, listener: socket.socket) -> asyncio.Server:
        return await asyncio.start_unix_server(self._serve, sock=listener, limit=LARGEST_BYTES)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = peer.uid_by_file(writer.get_extra_info("socket"))
        self._connected[uid] += 1
        if self._connected[uid] <= MOST:
            async with self._turns[uid]:
                await self._converse(uid, reader, writer)
        writer.close()
        self._connected[uid] -= 1
        if not self._connected[uid]:
            del self._connected[uid], self._turns[uid]

    async def _converse(self, uid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            line = await asyncio.wait_for(reader.readuntil(b"\n"), LIMIT_S)
            if reply := await self.answer(uid, line, writer.get_extra_info("socket").fileno()):
                writer.write(msgspec.json.encode(reply) + b"\n")
                await asyncio.wait_for(writer.drain(), LIMIT_S)

    async def answer(self, uid: int, line: bytes, fd: int = -1) -> Reply | None:
        """None: the next image answers. `fd` is that of the client's connection."""
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return Reply(error=f"not understood: {error}", hint="slot-machine and its edge should have one version")
        try:
            if request.op == "renew":
                return await self._reload(uid, fd)
            return await self._do(uid, request)
        except SlotMachineError as error:
            return Reply(error=str(error), hint=error.hint)
        except Exception as error:
            log.exception("cannot answer %s", request.op)
            return Reply(error=f"the edge failed: {error!r}")

    async def _reload(self, uid: int, fd: int) -> Reply | None:
        """Raises SlotMachineError, OSError."""
        if not self._edge.is_operator(uid):
            return Reply(error="only root and the edge's user may do that")
        await self._edge.reload(fd)
        return None

    async def _do(self, uid: int, request: Request) -> Reply:
        """Raises SlotMachineError."""
        edge = self._edge
        match request:
            case Request(op="hold" | "check", wish=wish) if wish:
                return await edge.hold(uid, wish, only_check=request.op == "check")
            case Request(op="withdraw"):
                await edge.withdraw(uid, request.data)
            case Request(op="remove"):
                await edge.remove(uid, request.domain)
            case Request(op="probe"):
                edge.progress.hurry()
        return edge.status(uid)
