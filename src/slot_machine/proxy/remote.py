"""The daemon's end of a worker's control socket."""

import os
import socket
from pathlib import Path
from typing import NamedTuple

import msgspec

from slot_machine.core.errors import DataPlaneGone
from slot_machine.host.network.control_socket import Caller, reachable
from slot_machine.proxy.wire import Introduce, Op, Reply, Request, Settings

Connection = Caller[Op, Reply]
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


async def connect(path: Path) -> Connection:
    """Raises DataPlaneGone, and so do calls."""
    return await Caller.connect(path, Request, decode, DataPlaneGone)


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
