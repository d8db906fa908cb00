"""The TCP connections of a port, and whose they are. sock_diag(7), tcp(7)"""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from slot_machine.host import proc

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST_DUMP = 0x301
REQ_BYTECODE, SOURCE_PORT_EQUALS = 1, 11

ESTABLISHED, SYN_RECV, CLOSE_WAIT, LISTEN, NEW_SYN_RECV = 1, 3, 8, 10, 12
OPEN = (ESTABLISHED, CLOSE_WAIT)
HALF_OPEN = (SYN_RECV, NEW_SYN_RECV)

HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBBI48x")
MESSAGE = struct.Struct("=4x40s8x16xI")
"""struct inet_diag_msg, with the addresses and ports as they stand."""

TCPI_UNACKED = 24
"""Its offset in struct tcp_info. Of a listening socket it is the length of the accept queue."""


class Found(NamedTuple):
    """`ends` are its addresses and ports as the kernel packs them; `inode` is 0 until the app has accepted it."""

    ends: bytes
    inode: int


def handshakes(port: int) -> set[bytes]:
    """The ends of connections that are half open. With SYN cookies there are none to see. Raises OSError."""
    return {found.ends for found in _of_port(port, HALF_OPEN)}


def listening(port: int) -> set[int]:
    """The inodes of the listening sockets, of whatever process. Raises OSError."""
    return {found.inode for found in _of_port(port, (LISTEN,))}


def accept_queue(listener: socket.socket) -> int:
    """How many connections wait to be accepted."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCPI_UNACKED + 4)
    return int.from_bytes(info[TCPI_UNACKED:], "little")


def carries_any(session: int, port: int) -> bool:
    """Whether a process of that session has an open connection of that port. Raises OSError."""
    inodes = {found.inode for found in _of_port(port, OPEN) if found.inode}
    return bool(inodes) and any(not inodes.isdisjoint(sockets_of(pid)) for pid in members_of(session))


def holder(session: int, inode: int) -> int:
    """A process of that session which has the socket; 0 if none has."""
    return next((pid for pid in members_of(session) if inode in sockets_of(pid)), 0)


def members_of(session: int) -> list[int]:
    return [pid for pid, fields in proc.stats() if proc.session(fields) == session and not proc.is_zombie(fields)]


def sockets_of(pid: int) -> set[int]:
    """The inodes of its sockets; empty for a process that is gone."""
    found = set()
    with suppress(FileNotFoundError, ProcessLookupError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                if target.startswith("socket:["):
                    found.add(int(target[8:-1]))
    return found


def _of_port(port: int, states: tuple[int, ...]) -> list[Found]:
    mask = sum(1 << state for state in states)
    return [*_dump(socket.AF_INET, port, mask), *_dump(socket.AF_INET6, port, mask)]


def _dump(family: int, port: int, states: int) -> Iterator[Found]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as diag:
        request = REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, states) + _only(port)
        diag.send(HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 1, 0) + request)
        while True:
            for kind, body in _messages(diag.recv(65536)):
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    error = -int.from_bytes(body[:4], "little", signed=True)
                    raise OSError(error, f"sock_diag: {os.strerror(error)}")
                yield Found(*MESSAGE.unpack_from(body))


def _only(port: int) -> bytes:
    """An attribute with a program of two operations; the second is the argument of the first."""
    return struct.pack("=HHBBHBBH", 12, REQ_BYTECODE, SOURCE_PORT_EQUALS, 8, 12, 0, 0, port)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind, *_ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : length]
        data = data[(length + 3) & ~3 :]
