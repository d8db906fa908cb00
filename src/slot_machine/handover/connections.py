"""The TCP connections of a port, and the processes that have them. tcp(7)"""

import socket

from slot_machine.host.network.sockdiag import CLOSE_WAIT, ESTABLISHED, LISTEN, NEW_SYN_RECV, SYN_RECV, of_port
from slot_machine.host.process import proc

OPEN = (ESTABLISHED, CLOSE_WAIT)
HALF_OPEN = (SYN_RECV, NEW_SYN_RECV)

TCPI_UNACKED = 24
"""Its offset in struct tcp_info. For a listening socket, the field is the length of the accept queue."""


def handshakes(port: int) -> set[bytes]:
    """The ends of half-open connections. Empty if the kernel uses SYN cookies. Raises OSError."""
    return {found.ends for found in of_port(port, HALF_OPEN)}


def listening(port: int) -> set[int]:
    """The inodes of all sockets that listen on the port. Raises OSError."""
    return {found.inode for found in of_port(port, (LISTEN,))}


def accept_queue(listener: socket.socket) -> int:
    """How many connections wait to be accepted."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCPI_UNACKED + 4)
    return int.from_bytes(info[TCPI_UNACKED:], "little")


def carries_any(session: int, port: int) -> bool:
    """Whether a process of the session has an open connection of the port. Raises OSError."""
    inodes = {found.inode for found in of_port(port, OPEN) if found.inode}
    return bool(inodes) and any(not inodes.isdisjoint(proc.sockets(pid)) for pid in members_of(session))


def process_with(session: int, inode: int) -> int:
    """The pid of a process of the session that has the socket. 0 if there is none."""
    return next((pid for pid in members_of(session) if inode in proc.sockets(pid)), 0)


def members_of(session: int) -> list[int]:
    return [pid for pid, stat in proc.stats() if stat.session == session and not stat.is_zombie]
