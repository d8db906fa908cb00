"""What is said of the way that a request came: whom to believe, and what to tell the app."""

import ipaddress
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

FEW = [b"%03x" % number for number in range(4096)]
"""The ends of ids, formatted once: a third of what a request costs here would be its number in hexadecimal digits."""

OURS = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"))
"""What the app is told of every request."""

OF_ADDRESS = frozenset(
    (
        b"cf-connecting-ip",
        b"cf-connecting-ipv6",
        b"cf-pseudo-ipv4",
        b"client-ip",
        b"do-connecting-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"forwarded",
        b"forwarded-for",
        b"proxy-client-ip",
        b"true-client-ip",
        b"wl-proxy-client-ip",
        b"x-appengine-user-ip",
        b"x-azure-clientip",
        b"x-azure-socketip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-envoy-external-address",
        b"x-forwarded",
        b"x-original-forwarded-for",
        b"x-real-ip",
    )
)
OF_URL = frozenset(
    (
        b"front-end-https",
        b"x-arr-ssl",
        b"x-original-host",
        b"x-original-url",
        b"x-proxied-https",
        b"x-rewrite-url",
        b"x-scheme",
        b"x-script-name",
        b"x-url-scheme",
    )
)
"""Frameworks and their libraries believe these, though only a proxy could know."""

OF_FILES = frozenset((b"x-accel-mapping", b"x-sendfile-type"))
"""Rack::Sendfile answers with the path of a file, for the proxy to send it, if these say so."""

HTTPOXY = b"proxy"
"""Behind CGI it becomes HTTP_PROXY, through which the app's own requests would go."""


ALL_OF_WAY = OURS | OF_ADDRESS | OF_URL | OF_FILES | {HTTPOXY}


def of_way(name: bytes) -> bool:
    """Whether a field says how a request came, so that only a trusted proxy may (RFC 7239 section 8.1)."""
    return name.startswith(b"x-forwarded-") or name in ALL_OF_WAY


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Said(NamedTuple):
    """What a request says of the way it came. Each is empty if it says nothing; `others` are lines that go on so."""

    addresses: bytes
    proto: bytes
    host: bytes
    request_id: bytes
    others: bytes

    @classmethod
    def of(cls, lines: bytes) -> "Said":
        given: dict[bytes, list[bytes]] = {}
        others = []
        for line in lines.splitlines(keepends=True):
            name, _, value = line.partition(b": ")
            if name.lower() in OURS:
                given.setdefault(name.lower(), []).append(value.removesuffix(b"\r\n"))
            else:
                others.append(line)

        def last(name: bytes) -> bytes:
            return given.get(name, [b""])[-1]

        addresses = b", ".join(given.get(b"x-forwarded-for", ()))
        proto, host, request_id = map(last, (b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"))
        return cls(addresses, proto, host, request_id, b"".join(others))


NOTHING_SAID = Said(b"", b"", b"", b"", b"")


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
        way = said.others + _way(addresses, said.proto or b"http")
        return way, said.host or host, said.request_id or next(fresh_ids)


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
