"""Which user is at the other end of a TCP connection within this machine."""

import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from slot_machine.host.network import sockdiag
from slot_machine.host.network.sockdiag import ESTABLISHED, Address

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
TABLE_READS = 5
MAPPED = bytes(10) + b"\xff\xff"
"""The first bytes of an IPv4 address in IPv6 form (RFC 4291, section 2.5.5.2)."""


class Owned(NamedTuple):
    """User and inode of a socket. `inode` is 0 once its process has closed it; `uid` then means nothing."""

    uid: int
    inode: int


def uid(connection: socket.socket) -> int | None:
    """The user who made the socket at the other end of an IPv4 connection. None if unknown. Blocks.

    While this end is established, no other socket can have the address of the other end. So this end is checked before
    and after the kernel is asked: a client is never mistaken for another one that got its port later.
    """
    try:
        if not _is_established(connection):
            return None
        found = sockets(connection.getpeername(), connection.getsockname())
        return owner(found) if _is_established(connection) else None
    except OSError:
        return None


def uid_by_file(connection: socket.socket) -> int:
    """The user who connected to a Unix socket (SO_PEERCRED, unix(7))."""
    _, user, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return int(user)


def owner(found: Iterable[Owned]) -> int | None:
    """The uid of the only socket in `found`. None if there are several, it is closed, or its uid is not mapped here."""
    users = [one.uid if one.inode else None for one in found]
    return users[0] if len(users) == 1 and users[0] != _overflow_uid() else None


def sockets(local: Address, remote: Address) -> list[Owned]:
    """The established sockets with these addresses. Raises OSError."""
    try:
        return diagnosed(local, remote)
    except OSError:
        return tabled(local, remote)


def tabled(local: Address, remote: Address) -> list[Owned]:
    """From the tables in /proc. Raises OSError.

    The kernel writes a table page by page. While other sockets come and go, it may leave a row out, or write it twice.
    """
    for _ in range(TABLE_READS):
        if found := {one for table in TABLES for one in listed(Path(table), local, remote)}:
            return [*found]
    return []


def diagnosed(local: Address, remote: Address) -> list[Owned]:
    """From sock_diag. Raises OSError, also if there is no such socket."""
    found = sockdiag.between(local, remote)
    return [Owned(found.uid, found.inode)] if found.state == ESTABLISHED else []


def listed(table: Path, local: Address, remote: Address) -> list[Owned]:
    """From a table in /proc, which is slower but always there (proc_pid_net(5), fields 8 and 10). Raises OSError."""
    if not table.exists():
        return []
    wide = table.name == "tcp6"
    wanted = f" {_shown(local, wide)} {_shown(remote, wide)} {ESTABLISHED:02X} "
    rows = [line.split() for line in table.read_text().splitlines() if wanted in line]
    return [Owned(int(row[7]), int(row[9])) for row in rows]


def _is_established(connection: socket.socket) -> bool:
    """Whether neither end has closed the connection (tcp(7), TCP_INFO)."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED


def _shown(address: Address, wide: bool) -> str:
    host, port = address
    packed = MAPPED * wide + socket.inet_aton(host)
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def _overflow_uid() -> int:
    """The uid that the kernel shows for users which this user namespace does not map (proc_sys_kernel(5))."""
    return int(Path("/proc/sys/kernel/overflowuid").read_text())
