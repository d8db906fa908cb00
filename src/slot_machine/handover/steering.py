"""Decides which of several sockets on a port gets a new connection, by a classic BPF program. socket(7)

The sockets are a group (SO_REUSEPORT). The program returns an index into it. If the index is too high, the kernel picks
one of all sockets by a hash.
"""

import ctypes
import socket
import struct
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

ATTACH_REUSEPORT_CBPF = 51
LOAD, LOAD_RANDOM, AND, MODULO, JUMP, JUMP_EQUAL, RETURN = 0x20, 0x20, 0x54, 0x94, 0x05, 0x15, 0x06
NETWORK_HEADER = 0xFFF00000
RANDOM = 0xFFFFF000 + 56

HEALTH_CHECK_TOS = 0x54
"""Type of service (ip(7)) or traffic class (ipv6(7)) of health checks: DSCP 21, which is free for local use."""

IPV6_V6ONLY = socket.IPPROTO_IPV6, socket.IPV6_V6ONLY

Instruction = tuple[int, int, int, int]


class Shape(NamedTuple):
    """What sockets must have in common to be in one group."""

    family: int
    v6only: bool
    host: str
    port: int

    @classmethod
    def of(cls, sock: socket.socket) -> Self | None:
        """None for what is not a TCP socket."""
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
            return None
        host, port, *_ = sock.getsockname()
        v6only = sock.family == socket.AF_INET6 and bool(sock.getsockopt(*IPV6_V6ONLY))
        return cls(sock.family, v6only, host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.family == socket.AF_INET6 else self.host
        return f"{host}:{self.port}{' (IPv6 only)' if self.v6only else ''}"


class Member(Protocol):
    @property
    def socket(self) -> socket.socket: ...


M = TypeVar("M", bound=Member)


class Group(Generic[M]):
    """The sockets of a group, in the kernel's order. A socket leaves when its last file descriptor is closed."""

    def __init__(self) -> None:
        self.members: list[M] = []

    def join(self, member: M) -> None:
        """Call it after the first `listen`: the kernel appends the socket then."""
        self.members.append(member)

    def leave(self, member: M) -> None:
        """Call it after the last `close`: the kernel moves the last socket into the gap."""
        index, last = self.members.index(member), self.members.pop()
        if member is not last:
            self.members[index] = last

    def steer(self, visitors: list[M], health_checks: list[M]) -> None:
        """Sends new connections to `visitors`, those of health checks to `health_checks`. In force when it returns."""
        code = program(self._indexes(visitors), self._indexes(health_checks))
        buffer = ctypes.create_string_buffer(code)
        attached = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
        self.members[0].socket.setsockopt(socket.SOL_SOCKET, ATTACH_REUSEPORT_CBPF, attached)

    def _indexes(self, members: list[M]) -> list[int]:
        return [index for index, member in enumerate(self.members) if member in members]


def program(visitors: list[int], health_checks: list[int]) -> bytes:
    """The BPF program. If `health_checks` is empty, health checks count as visitors."""
    code = _pick(visitors)
    if health_checks:
        code = [*_unless_health_check(len(code)), *code, *_pick(health_checks)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def _pick(indexes: list[int]) -> list[Instruction]:
    """Instructions that return one of the indexes at random."""
    code: list[Instruction] = []
    if len(indexes) > 1:
        code += [(LOAD_RANDOM, 0, 0, RANDOM), (MODULO, 0, 0, len(indexes))]
    for number, index in enumerate(indexes[:-1]):
        code += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, index)]
    return [*code, (RETURN, 0, 0, indexes[-1])]


def _unless_health_check(skip: int) -> list[Instruction]:
    """Skips `skip` instructions for packets with HEALTH_CHECK_TOS from 127.0.0.0/8 or ::1."""
    return [
        (LOAD, 0, 0, NETWORK_HEADER),
        (AND, 0, 0, 0xF0FF0000),
        (JUMP_EQUAL, 0, 3, 4 << 28 | HEALTH_CHECK_TOS << 16),
        (LOAD, 0, 0, NETWORK_HEADER + 12),
        (AND, 0, 0, 0xFF000000),
        (JUMP_EQUAL, 11, 12, 127 << 24),
        (LOAD, 0, 0, NETWORK_HEADER),
        (AND, 0, 0, 0xFFF00000),
        (JUMP_EQUAL, 0, 9, 6 << 28 | HEALTH_CHECK_TOS << 20),
        (LOAD, 0, 0, NETWORK_HEADER + 8),
        (JUMP_EQUAL, 0, 7, 0),
        (LOAD, 0, 0, NETWORK_HEADER + 12),
        (JUMP_EQUAL, 0, 5, 0),
        (LOAD, 0, 0, NETWORK_HEADER + 16),
        (JUMP_EQUAL, 0, 3, 0),
        (LOAD, 0, 0, NETWORK_HEADER + 20),
        (JUMP_EQUAL, 0, 1, 1),
        (JUMP, 0, 0, skip),
    ]
