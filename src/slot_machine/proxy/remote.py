"""The daemon's end of a worker's control socket."""

import os
import socket
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from slot_machine.core.errors import DataPlaneGone
from slot_machine.core.upstream import Counts
from slot_machine.host.network.control_socket import Caller, reachable
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

INTRODUCTION_TIMEOUT_S = 10.0
MOST_FDS = 16
MOST_BYTES = 65_536


class Introduction(NamedTuple):
    """A worker that an earlier daemon started. `listeners` is empty if it retires."""

    pid: int
    settings: Settings
    gauge_fd: int
    listeners: dict[str, socket.socket]


class Remote:
    """Each call returns once the worker obeys it. All raise DataPlaneGone."""

    def __init__(self, caller: Caller[Reply]) -> None:
        self._caller = caller

    @classmethod
    async def connect(cls, path: Path) -> Self:
        return cls(await Caller.connect(path, decode, DataPlaneGone))

    async def route(self, order: Route) -> Counts:
        return (await self._call(order)).counts or Counts()

    async def hold(self, limit_s: float) -> None:
        await self._call(Hold(limit_s))

    async def drained(self, run_id: int) -> None:
        await self._call(Drained(run_id))

    async def unwind(self, run_id: int, over_s: float) -> None:
        await self._call(Unwind(run_id, over_s))

    async def forget(self, run_id: int) -> Counts:
        return (await self._call(Forget(run_id))).counts or Counts()

    async def measure(self) -> Reply:
        return await self._call(Measure())

    async def retire(self) -> None:
        await self._call(Retire())

    async def close_listeners(self) -> None:
        await self._call(Close())

    async def disconnect(self) -> None:
        await self._caller.disconnect()

    async def _call(self, op: Op) -> Reply:
        return await self._caller.call(lambda number: Request(number, op))


def introduce(path: Path) -> Introduction | None:
    """Asks the worker that listens at that socket who it is. None if there is none, or none that we understand."""
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
