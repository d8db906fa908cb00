"""The daemon's end of the control socket of one data-plane process."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from slot_machine.core.errors import DataPlaneGone
from slot_machine.core.upstream import Counts, Upstream
from slot_machine.proxy.wire import (
    Close,
    Drained,
    Forget,
    Hold,
    Introduce,
    Measure,
    Op,
    Reply,
    Request,
    Retire,
    Route,
    Settings,
    Unwind,
)

decode = msgspec.json.Decoder(Reply).decode

INTRODUCTION_TIMEOUT_S = 2.0
MOST_FDS = 16
MOST_BYTES = 65_536


class Introduction(NamedTuple):
    """A data-plane process that an earlier daemon started. `listeners` is empty if it retires."""

    pid: int
    settings: Settings
    gauge_fd: int
    listeners: dict[str, socket.socket]


class Remote:
    """Every call returns when it is in force in the data plane. All raise DataPlaneGone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    @classmethod
    async def connect(cls, path: Path) -> Self:
        try:
            with reachable(path) as address:
                reader, writer = await asyncio.open_unix_connection(address)
        except OSError as error:
            raise DataPlaneGone(f"cannot connect to the data plane at {path}: {error.strerror}") from error
        return cls(reader, writer)

    async def route(self, upstream: Upstream | None) -> Counts:
        return (await self._call(Route(upstream))).counts or Counts()

    async def hold(self) -> None:
        await self._call(Hold())

    async def drained(self, upstream_id: int) -> None:
        await self._call(Drained(upstream_id))

    async def unwind(self, upstream_id: int, over_s: float) -> None:
        await self._call(Unwind(upstream_id, over_s))

    async def forget(self, upstream_id: int) -> Counts:
        return (await self._call(Forget(upstream_id))).counts or Counts()

    async def measure(self) -> Reply:
        return await self._call(Measure())

    async def retire(self) -> None:
        await self._call(Retire())

    async def close_listeners(self) -> None:
        await self._call(Close())

    async def disconnect(self) -> None:
        self._listening.cancel()
        await asyncio.wait([self._listening])
        self._writer.close()

    async def _call(self, op: Op) -> Reply:
        if self._listening.done():
            raise DataPlaneGone("the data plane is gone")
        self._last_id += 1
        request = Request(self._last_id, op)
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = reply
        try:
            self._writer.write(msgspec.json.encode(request) + b"\n")
            return await reply
        finally:
            self._waiting.pop(request.id, None)

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                reply = decode(line)
                waiting = self._waiting.pop(reply.id, None)
                if waiting and not waiting.done():
                    waiting.set_result(reply)
        except ConnectionError:
            pass
        finally:
            for unanswered in self._waiting.values():
                if not unanswered.done():
                    unanswered.set_exception(DataPlaneGone("the data plane is gone"))


def introduce(path: Path) -> Introduction | None:
    """Asks whoever listens at that socket. None where nobody does, or nobody that could be understood."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(INTRODUCTION_TIMEOUT_S)
        fds: list[int] = []
        try:
            with reachable(path) as address:
                connection.connect(address)
            connection.sendall(msgspec.json.encode(Request(0, Introduce())) + b"\n")
            text, fds, _, _ = socket.recv_fds(connection, MOST_BYTES, MOST_FDS)
            reply = decode(text)
        except (OSError, msgspec.DecodeError):
            for fd in fds:
                os.close(fd)
            return None
    if reply.settings is None:
        return None
    gauge_fd, *listener_fds = fds
    listeners = zip(reply.settings.listener_fds, listener_fds, strict=True)
    return Introduction(reply.pid, reply.settings, gauge_fd, {name: socket.socket(fileno=fd) for name, fd in listeners})


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """An address for a Unix socket whose path may be longer than the 107 bytes that it may have (unix(7))."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
