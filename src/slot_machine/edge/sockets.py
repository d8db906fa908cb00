"""The listening sockets of the edge: a set for each Traefik, so that a new one gets no connection before it is ready.

All sets are bound to the same ports (SO_REUSEPORT, socket(7)). A BPF program of one instruction tells the kernel which
set gets new connections.
"""

import contextlib
import ctypes
import socket
import struct
import time
from collections.abc import Sequence

from slot_machine.core.errors import StartRefused
from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.static import HTTP, HTTPS
from slot_machine.host.network import ports, sockdiag

BACKLOG = 4096
BIND_LIMIT_S = 10.0
"""After a kill -9 of the edge, its Traefik lets the ports go in a moment."""
SO_ATTACH_REUSEPORT_CBPF = 51
RETURN_CONSTANT = 0x06
"""BPF_RET | BPF_K (linux/bpf_common.h)."""

Set = Sequence[tuple[str, socket.socket]]
OLD, NEW = 0, 1


class Sockets:
    def __init__(self, settings: EdgeSettings) -> None:
        self._settings = settings

    def check(self) -> None:
        """Raises StartRefused if another server has one of the ports, also one that would share it."""
        for port in (self._settings.http_port, self._settings.https_port):
            _bound(port, self._settings.bind).close()

    def open(self, *, http3: bool) -> Set:
        """A new set, which gets connections at once if it is the only one. Raises StartRefused."""
        https = self._settings.https_port
        wanted = [(HTTP, self._settings.http_port, socket.SOCK_STREAM), (HTTPS, https, socket.SOCK_STREAM)]
        if http3:
            wanted.append((HTTPS, https, socket.SOCK_DGRAM))
        with contextlib.ExitStack() as stack:
            made = [(name, stack.enter_context(self._open(port, kind))) for name, port, kind in wanted]
            stack.pop_all()
        return made

    def _open(self, port: int, kind: socket.SocketKind) -> socket.socket:
        address = self._settings.bind or "::"
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            return _listening(family, kind, address, port)
        except OSError as error:
            if self._settings.bind:
                raise StartRefused(f"cannot listen on port {port}: {error.strerror}") from None
        try:
            return _listening(socket.AF_INET, kind, "", port)  # A machine without IPv6.
        except OSError as error:
            raise StartRefused(f"cannot listen on port {port}: {error.strerror}") from None


def _listening(family: socket.AddressFamily, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    """Raises OSError."""
    made = socket.socket(family, kind)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind((address, port))
        if kind == socket.SOCK_STREAM:
            made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def steer(sockets: Set, which: int) -> None:
    """New connections go to the set that began to listen first, or to the one after it. Raises OSError."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", RETURN_CONSTANT, 0, 0, which))
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    for _, each in sockets:
        each.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program)


def close(sockets: Set) -> None:
    for _, each in sockets:
        each.close()


def connections(settings: EdgeSettings) -> int:
    """Those of clients: all are the old Traefik's just after it was replaced. Blocks."""
    both = (settings.http_port, settings.https_port)
    return sum(1 for port in both for _ in sockdiag.of_port(port, (sockdiag.ESTABLISHED,)))


def _bound(port: int, address: str) -> socket.socket:
    end_s = time.monotonic() + BIND_LIMIT_S
    while True:
        try:
            return ports.bind_public(port, address)
        except StartRefused:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.1)
