"""How daemons and commands talk to the edge."""

import contextlib
import os
import socket
from pathlib import Path

import msgspec

from slot_machine.core.errors import EdgeGone, EdgeRefused
from slot_machine.edge import place
from slot_machine.edge.wire import Reply, Request
from slot_machine.host.network.control_socket import reachable

LIMIT_S = 60.0
"""Longer than the edge waits for Traefik, twice."""
CONNECT_LIMIT_S = 5.0
LARGEST_BYTES = 4 << 20
HINT = "start it by `slot-machine edge start`, or let systemd do that: `slot-machine edge install`"


def ask(request: Request, path: Path | None = None) -> Reply:
    """Raises EdgeGone, EdgeRefused. Blocks."""
    path = path or place.nearest()
    try:
        with socket.socket(socket.AF_UNIX) as connection, reachable(path) as address:
            connection.settimeout(CONNECT_LIMIT_S)
            connection.connect(address)
            connection.settimeout(LIMIT_S)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            text = _line(connection)
    except OSError as error:
        why = "the edge does not answer" if isinstance(error, TimeoutError) else "no edge runs on this machine"
        raise EdgeGone(f"{why}: {path}: {error.strerror or error}", HINT) from None
    try:
        reply = msgspec.json.decode(text, type=Reply)
    except msgspec.MsgspecError as error:
        raise EdgeGone(f"the edge gave an answer that can't be understood: {error}") from None
    if reply.error:
        raise EdgeRefused(reply.error, reply.hint)
    return reply


def _line(connection: socket.socket) -> bytes:
    """Raises OSError."""
    text = b""
    while not text.endswith(b"\n"):
        piece = connection.recv(65_536)
        if not piece or len(text) > LARGEST_BYTES:
            raise ConnectionResetError(0, "it closed the connection")
        text += piece
    return text


def secret_of(data: Path) -> str:
    """The app's, kept in a file of the data folder, so that it outlives the edge and the daemon. Raises OSError."""
    path = secret_file(data)
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    secret = os.urandom(24).hex()
    with contextlib.suppress(FileExistsError):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secret + "\n")
    return path.read_text().strip()


def secret_file(data: Path) -> Path:
    return data / "edge-secret"
