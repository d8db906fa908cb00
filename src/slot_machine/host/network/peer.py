"""Who is at the other end of a TCP connection from this machine."""

import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from slot_machine.host.network import sockdiag
from slot_machine.host.network.sockdiag import ESTABLISHED, Address

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
MAPPED = bytes(10) + b"\xff\xff"
"""Begins an IPv4 address of an IPv6 socket (RFC 4291, section 2.5.5.2)."""


class Owned(NamedTuple):
    """A socket, as the kernel lists it. One that its process has closed has neither."""

    uid: int
    inode: int


def uid(connection: socket.socket) -> int | None:
    """The user who made the socket at the other end of an IPv4 connection. None if that can't be told. Blocks.

    While this end is established, no other socket can have the address of the other one. So what the kernel said in
    between is true: a client that is gone is never taken for the one that has its port next.
    """
    try:
        if not _is_established(connection):
            return None
        found = sockets(connection.getpeername(), connection.getsockname())
        return owner(found) if _is_established(connection) else None
    except OSError:
        return None


def owner(found: Iterable[Owned]) -> int | None:
    """Of the only one among these sockets, if it is in use by a user whom this user namespace has."""
    users = [one.uid if one.inode else None for one in found]
    return users[0] if len(users) == 1 and users[0] != _overflow_uid() else None


def sockets(local: Address, remote: Address) -> list[Owned]:
    """The established ones with these addresses. Raises OSError."""
    try:
        return diagnosed(local, remote)
    except OSError:
        return [found for table in TABLES for found in listed(Path(table), local, remote)]


def diagnosed(local: Address, remote: Address) -> list[Owned]:
    """Raises OSError, also where there is none with these ports."""
    found = sockdiag.between(local, remote)
    return [Owned(found.uid, found.inode)] if found.state == ESTABLISHED else []


def listed(table: Path, local: Address, remote: Address) -> list[Owned]:
    """Slower, and everywhere (proc_pid_net(5): the eighth and the tenth field). Raises OSError."""
    if not table.exists():
        return []
    wide = table.name == "tcp6"
    wanted = f" {_shown(local, wide)} {_shown(remote, wide)} {ESTABLISHED:02X} "
    rows = [line.split() for line in table.read_text().splitlines() if wanted in line]
    return [Owned(int(row[7]), int(row[9])) for row in rows]


def _is_established(connection: socket.socket) -> bool:
    """Whether neither end has closed it (tcp(7): TCP_INFO)."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED


def _shown(address: Address, wide: bool) -> str:
    host, port = address
    packed = MAPPED * wide + socket.inet_aton(host)
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def _overflow_uid() -> int:
    """Stands for all users whom this user namespace does not have (proc_sys_kernel(5))."""
    return int(Path("/proc/sys/kernel/overflowuid").read_text())
