"""TCP ports: fresh ones for an app, listening sockets for the daemon."""

import contextlib
import errno
import random
import socket
from pathlib import Path

from slot_machine.core.errors import StartRefused
from slot_machine.host import proc

BACKLOG = 4096
LISTENING = "0A"
"""The state TCP_LISTEN in /proc/net/tcp."""

LOWEST = 20_000
FAMILIES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def fresh(avoid: set[int]) -> int:
    """A port that nobody holds, outside of the range from which the kernel serves outgoing connections.

    Raises OSError.
    """
    highest = max(LOWEST + 1000, _ephemeral_start())
    for _ in range(1000):
        port = random.randrange(LOWEST, highest)
        if port not in avoid and is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port between {LOWEST} and {highest}")


def is_free(port: int) -> bool:
    """Whether an app could listen on it, on all interfaces of both families. Raises OSError if that can't be tried."""
    try:
        for family, _ in FAMILIES:
            with socket.socket(family) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("", port))
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
    return True


def listening_host(port: int) -> str | None:
    """The loopback address on which somebody listens: `127.0.0.1`, `::1` or None."""
    for family, host in FAMILIES:
        with contextlib.suppress(OSError), socket.socket(family) as probe:
            probe.settimeout(1)
            probe.connect((host, port))
            return host
    return None


def bind_public(port: int) -> socket.socket:
    """A socket for all interfaces, of both families where the machine has IPv6. Raises StartRefused."""
    if socket.has_dualstack_ipv6():
        try:
            return _bind(socket.AF_INET6, "::", port)
        except StartRefused as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRNOTAVAIL:
                raise
    return _bind(socket.AF_INET, "0.0.0.0", port)


def bind_loopback(port: int) -> socket.socket:
    """Raises StartRefused."""
    return _bind(socket.AF_INET, "127.0.0.1", port)


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        hint = f"free port {port}, or choose another in slot-machine.json"
        by = holder(port) if error.errno == errno.EADDRINUSE else ""
        raise StartRefused(f"cannot listen on port {port}: {error.strerror}{by and f' by {by}'}", hint) from error
    return listener


def _ephemeral_start() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except FileNotFoundError:
        return 32_768


def holder(port: int) -> str:
    """Who listens on it, as `pid 123 (node server.js)`; empty where that can't be seen."""
    pid = proc.holder({f"socket:[{inode}]" for inode in listening_inodes(port)})
    return f"pid {pid} ({proc.command_line(pid)})" if pid else ""


def listening_inodes(port: int) -> set[str]:
    """proc_pid_net(5): the local address is the second field, the state the fourth, the inode the tenth."""
    rows = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()
        for line in Path(table).read_text().splitlines()[1:]
    ]
    return {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == LISTENING}
