"""X-Forwarded-* and X-Request-Id: whom to believe, and what to tell the app."""

import ipaddress
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

FEW = [b"%03x" % number for number in range(4096)]
"""The ends of ids, formatted once: a third of what a request costs here would be its number in hexadecimal digits."""

FORWARDED = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Said(NamedTuple):
    """What a request says of the way it came. Each is empty if it says nothing."""

    addresses: bytes
    proto: bytes
    host: bytes
    request_id: bytes

    @classmethod
    def of(cls, fields: Iterable[tuple[bytes, bytes]]) -> "Said":
        """`fields`: names in lower case, and values."""
        given: dict[bytes, list[bytes]] = {}
        for name, value in fields:
            given.setdefault(name, []).append(value)

        def last(name: bytes) -> bytes:
            return given.get(name, [b""])[-1]

        addresses = b", ".join(given.get(b"x-forwarded-for", ()))
        return cls(addresses, last(b"x-forwarded-proto"), last(b"x-forwarded-host"), last(b"x-request-id"))


NOTHING_SAID = Said(b"", b"", b"", b"")


class TrustedProxies:
    """Networks whose word counts."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: list[Network] = [ipaddress.ip_network(network) for network in networks]
        self.sender: Callable[[str], Sender] = lru_cache(4096)(self._sender)

    def _sender(self, address: str) -> "Sender":
        """`address` as the kernel tells it: an IPv4 client of a socket for both families counts as IPv4."""
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        trusted = any(parsed in network for network in self._networks if network.version == parsed.version)
        return Sender(str(parsed).encode(), trusted=trusted)


class Sender:
    """Who is at the other end of a connection. `way` is what the app is told if the request says nothing of its own."""

    __slots__ = ("_address", "trusted", "way")

    def __init__(self, address: bytes, *, trusted: bool) -> None:
        self._address = address
        self.trusted = trusted
        self.way = _way(address, b"http")

    def pass_on(self, said: Said, host: bytes) -> tuple[bytes, bytes, bytes]:
        """What the app is told of what was said: lines up to the value of the last, that host, and the id."""
        addresses = said.addresses + b", " + self._address if said.addresses else self._address
        return _way(addresses, said.proto or b"http"), said.host or host, said.request_id or next(fresh_ids)


def _way(addresses: bytes, proto: bytes) -> bytes:
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: " % (addresses, proto)


def _ids() -> Iterator[bytes]:
    """Unique, not secret: 32 hexadecimal digits."""
    process = os.urandom(10).hex().encode()
    for many in itertools.count():
        start = b"%b%09x" % (process, many)
        for few in FEW:
            yield start + few


fresh_ids = _ids()
