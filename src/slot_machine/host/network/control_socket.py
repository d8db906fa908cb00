"""Unix sockets in the data folder, over which the daemon controls its other processes.

Requests and replies are one JSON object a line. Replies may come in any order.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import msgspec

from slot_machine.core.errors import SlotMachineError

MODE = 0o600
LONGEST_LINE_BYTES = 262_144


class Numbered(Protocol):
    @property
    def id(self) -> int: ...


Order = TypeVar("Order")
R = TypeVar("R", bound=Numbered)


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A short address for the socket at that path: addresses have at most 107 bytes (unix(7)). Raises OSError."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listening(path: Path) -> socket.socket:
    """A listening socket, in place of what is at that path. Raises OSError."""
    control = bound(path)
    control.listen()
    return control


def bound(path: Path) -> socket.socket:
    """A bound socket, in place of what is at that path. At no moment may other users connect. Raises OSError."""
    path.unlink(missing_ok=True)
    control = socket.socket(socket.AF_UNIX)
    try:
        # Linux gives the file the mode of the socket. Some file systems do not, so `chmod` follows.
        os.fchmod(control.fileno(), MODE)
        with reachable(path) as address:
            control.bind(address)
        path.chmod(MODE)
    except BaseException:
        control.close()
        raise
    return control


class Caller(Generic[Order, R]):
    """The end that gives orders. `request` makes a message of an id and an order.

    Every call raises `gone` if the other end is gone.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: Callable[[int, Order], msgspec.Struct],
        decode: Callable[[bytes], R],
        gone: type[SlotMachineError],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._request = request
        self._decode = decode
        self._gone = gone
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[R]] = {}
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    @classmethod
    async def connect(
        cls,
        path: Path,
        request: Callable[[int, Order], msgspec.Struct],
        decode: Callable[[bytes], R],
        gone: type[SlotMachineError],
    ) -> Self:
        try:
            with reachable(path) as address:
                reader, writer = await asyncio.open_unix_connection(address, limit=LONGEST_LINE_BYTES)
        except OSError as error:
            raise gone(f"cannot connect to {path}: {error.strerror}") from error
        return cls(reader, writer, request, decode, gone)

    async def call(self, order: Order) -> R:
        """Sends the order, and waits for the reply."""
        if self._listening.done():
            raise self._gone("the connection is gone")
        self._last_id += 1
        number = self._last_id
        reply: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            self._writer.write(msgspec.json.encode(self._request(number, order)) + b"\n")
            return await reply
        finally:
            self._waiting.pop(number, None)

    async def disconnected(self) -> None:
        """Waits until the other end is gone."""
        await asyncio.wait([self._listening])

    async def disconnect(self) -> None:
        self._listening.cancel()
        await asyncio.wait([self._listening])
        self._writer.close()

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                reply = self._decode(line)
                waiting = self._waiting.pop(reply.id, None)
                if waiting and not waiting.done():
                    waiting.set_result(reply)
        except (ConnectionError, msgspec.DecodeError):
            pass
        finally:
            for unanswered in self._waiting.values():
                if not unanswered.done():
                    unanswered.set_exception(self._gone("the connection is gone"))
