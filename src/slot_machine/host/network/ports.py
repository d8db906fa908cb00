"""TCP ports: free ones for an app, listening sockets for the daemon."""

import contextlib
import errno
import os
import random
import socket
from ipaddress import ip_address
from pathlib import Path

from slot_machine.core.errors import StartRefused
from slot_machine.host.network import sockdiag
from slot_machine.host.process import proc

BACKLOG = 4096
HELD = (sockdiag.LISTEN, sockdiag.BOUND)

LOWEST = 20_000
FAMILIES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
EVERYWHERE = ("0.0.0.0", "::")
HOSTS = tuple(host for _, host in FAMILIES)


def fresh(avoid: set[int]) -> int:
    """A port to which nobody is bound, outside of the range that the kernel uses for outgoing connections.

    The port is not reserved until the app binds it. A socket of ours on it would keep out an app that does not set
    SO_REUSEADDR, but not another program that does. Raises OSError.
    """
    highest = max(LOWEST + 1000, ephemeral_start())
    for _ in range(1000):
        port = random.randrange(LOWEST, highest)
        if port not in avoid and _can_bind(port, reuse=False):
            return port
    by = used_by(port) or "somebody who can't be seen"
    raise OSError(errno.EADDRINUSE, f"no free port between {LOWEST} and {highest}; {port}, for one, is held by {by}")


def free_from(port: int) -> int:
    """The first free port from `port` on. Raises OSError if there is none."""
    for candidate in range(port, 65_536):
        if is_free(candidate):
            return candidate
    raise OSError(errno.EADDRINUSE, f"no free port from {port} on")


def is_free(port: int) -> bool:
    """Whether an app could listen on it, on all interfaces, with IPv4 and IPv6. Raises OSError if that can't be tried.

    Connections in TIME_WAIT and the like do not count. Where there are such, a socket that is bound and does not listen
    yet is only noticed from Linux 6.8 on.
    """
    if _can_bind(port, reuse=False):
        return True
    with contextlib.suppress(OSError):
        sockets = sockdiag.of_port(port, sockdiag.EVERY_STATE)
        if not sockets or any(socket.state in HELD for socket in sockets):
            return False
    return _can_bind(port, reuse=True)


def _can_bind(port: int, *, reuse: bool) -> bool:
    """With `reuse`, sockets that do not listen may be on the port. Without it, none at all."""
    try:
        for family, _ in FAMILIES:
            with socket.socket(family) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
                probe.bind(("", port))
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
    return True


def listening_host(port: int) -> str | None:
    """The loopback address that accepts a connection to the port: `127.0.0.1`, `::1` or None. Blocks."""
    for family, host in FAMILIES:
        with contextlib.suppress(OSError), socket.socket(family) as probe:
            probe.settimeout(1)
            probe.connect((host, port))
            return host
    return None


def bind_public(port: int, address: str = "") -> socket.socket:
    """A socket for that address; else for all interfaces, with IPv4 and, if the machine has it, IPv6.

    Raises StartRefused.
    """
    if address:
        return _bind(socket.AF_INET6 if ":" in address else socket.AF_INET, address, port)
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
        raise _refusal(port, error, host) from error
    return listener


def is_at(listener: socket.socket, address: str) -> bool:
    """Whether the socket is bound to that address; without one, to all interfaces."""
    host = listener.getsockname()[0]
    return ip_address(host) == ip_address(address) if address else host in EVERYWHERE


def listen(listener: socket.socket) -> None:
    """Raises StartRefused, for instance if another program was bound to the port, too, and listened first."""
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _refusal(listener.getsockname()[1], error) from error


def _refusal(port: int, error: OSError, host: str = "") -> StartRefused:
    if error.errno == errno.EADDRNOTAVAIL:
        hint = "name an address of this machine in `bind`"
        return StartRefused(f"cannot listen on {host}, port {port}: {error.strerror}", hint)
    hint = f"choose another port in slot-machine.json, or free port {port}"
    by = used_by(port) if error.errno == errno.EADDRINUSE else ""
    return StartRefused(f"cannot listen on port {port}: {error.strerror}{by and f' by {by}'}", hint)


def ephemeral_start() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except FileNotFoundError:
        return 32_768


def used_by(port: int) -> str:
    """Who is bound to the port: `pid 123 (node server.js)`, `a process of uid 33`, or an empty string if unknown."""
    with contextlib.suppress(OSError):
        own = {*proc.open_files(os.getpid())}
        others = {f"socket:[{found.inode}]": found for found in sockdiag.of_port(port, HELD)}
        others = {name: found for name, found in others.items() if name not in own}
        if others:
            pid = proc.find_with_open({*others})
            return f"pid {proc.named(pid)}" if pid else f"a process of uid {next(iter(others.values())).uid}"
    return ""
