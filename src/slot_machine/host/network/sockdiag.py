"""The TCP sockets of all processes and users, as the kernel lists them. sock_diag(7)"""

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, REQUEST_DUMP = 1, 0x301
REQ_BYTECODE, SOURCE_PORT_EQUALS, ONLY_IPV6 = 1, 11, 11

ESTABLISHED, SYN_RECV, CLOSED, CLOSE_WAIT, LISTEN, NEW_SYN_RECV, BOUND = 1, 3, 7, 8, 10, 12, 13
"""A BOUND socket does not listen yet. Linux lists these since 6.8, as CLOSED."""
EVERY_STATE = range(1, 14)

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
QUESTION = struct.Struct("=BBBxI48s")
"""struct inet_diag_req_v2: family, protocol, wanted attributes, wanted states, and IDENTITY."""
IDENTITY = struct.Struct("!HH16s16s4x")
"""The head of struct inet_diag_sockid: both ports, both addresses."""
ANY_COOKIE = b"\xff" * 8
MESSAGE = struct.Struct("=BB2x40s8x12xII")
"""struct inet_diag_msg: family, state, packed ports and addresses, uid, inode."""

FAMILIES = socket.AF_INET, socket.AF_INET6

Address = tuple[str, int]


class SocketInfo(NamedTuple):
    """One socket. `ends` are its ports and addresses as the kernel packs them. `inode` is 0 until it is accepted."""

    family: int
    state: int
    ends: bytes
    uid: int
    inode: int
    only_ipv6: bool

    @property
    def port(self) -> int:
        """The local port."""
        return int.from_bytes(self.ends[:2], "big")

    @property
    def host(self) -> IPv4Address | IPv6Address:
        """The local address. For an IPv6 socket with a mapped IPv4 address, that IPv4 address."""
        packed = ip_address(self.ends[4:8] if self.family == socket.AF_INET else self.ends[4:20])
        return getattr(packed, "ipv4_mapped", None) or packed

    def is_reached_by(self, host: str) -> bool:
        """Whether this listening socket may get connections to the address `host`."""
        wanted = ip_address(host)
        if self.host.is_unspecified and self.host.version == 6:
            return wanted.version == 6 or not self.only_ipv6
        return self.host == wanted or (self.host.is_unspecified and wanted.version == 4)


def of_port(port: int, states: Iterable[int]) -> list[SocketInfo]:
    """All sockets with this local port, in these states. Raises OSError."""
    mask = sum(1 << state for state in states)
    return [found for family in FAMILIES for found in _dump(family, port, mask)]


def listening() -> list[SocketInfo]:
    """All sockets that listen. Raises OSError."""
    return [found for family in FAMILIES for found in _dump(family, 0, 1 << LISTEN)]


def between(local: Address, remote: Address) -> SocketInfo:
    """The one established IPv4 connection with these addresses. Raises OSError, also if there is none."""
    ends = IDENTITY.pack(local[1], remote[1], socket.inet_aton(local[0]), socket.inet_aton(remote[0]))
    question = QUESTION.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 1 << ESTABLISHED, ends + ANY_COOKIE)
    return next(_answers(REQUEST, question))


def _dump(family: int, port: int, states: int) -> Iterator[SocketInfo]:
    """`port` 0 stands for all ports."""
    question = QUESTION.pack(family, socket.IPPROTO_TCP, 0, states, b"")
    return _answers(REQUEST_DUMP, question + _only(port) if port else question)


def _answers(flags: int, question: bytes) -> Iterator[SocketInfo]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as diag:
        diag.send(HEADER.pack(HEADER.size + len(question), SOCK_DIAG_BY_FAMILY, flags, 1, 0) + question)
        while True:
            for kind, body in _parts(HEADER, diag.recv(65536)):
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    error = -int.from_bytes(body[:4], "little", signed=True)
                    raise OSError(error, f"sock_diag: {os.strerror(error)}")
                family, state, ends, uid, inode = MESSAGE.unpack_from(body)
                attributes = dict(_parts(ATTRIBUTE, body[MESSAGE.size :]))
                state = BOUND if state == CLOSED else state
                yield SocketInfo(family, state, ends, uid, inode, attributes.get(ONLY_IPV6, b"\0") != b"\0")


def _only(port: int) -> bytes:
    """A filter attribute: a program of two operations, of which the second is the argument of the first."""
    return struct.pack("=HHBBHBBH", 12, REQ_BYTECODE, SOURCE_PORT_EQUALS, 8, 12, 0, 0, port)


def _parts(header: struct.Struct, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Splits netlink messages, or the attributes of one. Each begins with its length and its kind. netlink(7)"""
    while data:
        length, kind, *_ = header.unpack_from(data)
        yield kind, data[header.size : length]
        data = data[(length + 3) & ~3 :]
