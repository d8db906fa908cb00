"""Fields that tell how a request came here: which senders are believed, and what the app is told."""

import ipaddress
import itertools
import os
import re
from _operator import _compare_digest as compare_digest  # that of hmac, without loading OpenSSL
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

FEW = [b"%03x" % number for number in range(4096)]
"""Last digits of request ids, formatted once: to format a number for each request costs as much as half of a head."""

OURS = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"))
"""Fields that the proxy sets on every request to the app."""

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
"""Frameworks and libraries believe these fields, though only a proxy can know what they tell."""

OF_FILES = frozenset((b"x-accel-mapping", b"x-sendfile-type"))
"""With these, Rack::Sendfile replies with the path of a file, which it expects the proxy to send."""

EDGE = b"x-slot-machine-edge"
"""Has the secret of the app, by which the edge on this machine proves that it is the sender."""

PROTOS = {b"http": b"http", b"https": b"https", b"ws": b"http", b"wss": b"https"}
"""What X-Forwarded-Proto becomes: some proxies tell the scheme of a WebSocket, but apps compare with `https`."""

HTTPOXY = b"proxy"
"""CGI turns it into HTTP_PROXY, and libraries would send the app's own requests through that proxy."""

FORWARDING = OURS | OF_ADDRESS | OF_URL | OF_FILES | {HTTPOXY, EDGE}


def forwarding(name: bytes) -> bool:
    """Whether a field tells how a request came: it is believed only from a trusted proxy (RFC 7239 section 8.1)."""
    return name.startswith(b"x-forwarded-") or name in FORWARDING


WITH_PORT = re.compile(r"([0-9.]+):([0-9]{1,5})|\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?")
"""As some proxies write an address: `192.0.2.7:4711`, `[2001:db8::7]:4711`, `[2001:db8::7]` (RFC 7239 section 6)."""
MOST_PORT = 65_535

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ForwardedHeaders(NamedTuple):
    """What a request tells of how it came; empty where it tells nothing. `others` are whole lines of other fields."""

    addresses: bytes
    proto: bytes
    host: bytes
    request_id: bytes
    others: bytes
    secret: bytes = b""

    @classmethod
    def of(cls, lines: bytes) -> "ForwardedHeaders":
        given: dict[bytes, list[bytes]] = {}
        others = []
        for line in lines.splitlines(keepends=True):
            name, _, value = line.partition(b": ")
            if name.lower() in OURS or name.lower() == EDGE:
                given.setdefault(name.lower(), []).append(value.removesuffix(b"\r\n"))
            else:
                others.append(line)

        def last(name: bytes) -> bytes:
            return given.get(name, [b""])[-1]

        addresses = b", ".join(given.get(b"x-forwarded-for", ()))
        proto, host, request_id = map(last, (b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"))
        proto = PROTOS.get(proto.rpartition(b",")[2].strip().lower(), b"http" if proto else b"")
        return cls(addresses, proto, host, request_id, b"".join(others), last(EDGE))


NO_FORWARDED_HEADERS = ForwardedHeaders(b"", b"", b"", b"", b"")


class TrustedProxies:
    """The networks from which forwarding headers are believed.

    With the `secret` of an edge, only requests that have it are believed, as any user of this machine can connect over
    loopback. Then the networks are those of the proxies in front of the edge.
    """

    def __init__(self, networks: Iterable[str], secret: bytes = b"") -> None:
        self._networks: list[Network] = [ipaddress.ip_network(network) for network in networks]
        self._secret = secret
        self.sender: Callable[[str], Sender] = lru_cache(4096)(self._sender)
        self._client: Callable[[bytes], str] = lru_cache(4096)(self._client_in)

    def _sender(self, address: str) -> "Sender":
        """`address` is the kernel's. An IPv4 client of a dual-stack socket counts as IPv4."""
        parsed = _plain(ipaddress.ip_address(address.partition("%")[0]))
        return Sender(str(parsed).encode(), self._client if self._trusts(parsed) else None, self._secret)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks if network.version == address.version)

    def _client_in(self, addresses: bytes) -> str:
        """The last address in X-Forwarded-For that is no trusted proxy's. Empty if there is none.

        Each proxy appends the address that it was asked from, so what is before that may be anyone's invention.
        """
        client = ""
        for text in reversed(addresses.decode("ascii", "replace").split(",")):
            try:
                address = _plain(_parsed(text.strip()))
            except ValueError:
                break
            client = str(address)
            if not self._trusts(address):
                break
        return client


class Sender:
    """The other end of a connection. `lines` tell the app of it, where the request's own headers are not used.

    They end where the value of X-Forwarded-Host follows. `itself`: its address, and that it does not speak TLS, as
    nobody tells anything else.
    """

    __slots__ = ("_address", "_client", "_secret", "_told", "itself", "lines")

    def __init__(self, address: bytes, client: Callable[[bytes], str] | None = None, secret: bytes = b"") -> None:
        """`client` finds the client in the addresses that a trusted proxy passes on; None for any other sender.

        With a `secret`, this sender is believed only if a request has it.
        """
        self._address = address
        self._told = address.decode()
        self.itself = (self._told, False)
        self._client = client
        self._secret = secret
        self.lines = _lines(address, b"http")

    def tells(self, forwarded: ForwardedHeaders) -> bool:
        """Whether these headers of a request are believed."""
        if forwarded is NO_FORWARDED_HEADERS or self._client is None:
            return False
        return not self._secret or compare_digest(forwarded.secret, self._secret)

    def pass_on(self, forwarded: ForwardedHeaders, host: bytes) -> tuple[bytes, bytes, bytes]:
        """What the app is told of a request with forwarding headers: such `lines`, the host, and the request's id.

        The edge passes other fields on as its clients sent them, so they end here.
        """
        if self._secret:
            lines = _lines(forwarded.addresses or self._address, forwarded.proto or b"http")
            return lines, forwarded.host or host, next(fresh_ids)
        addresses = forwarded.addresses + b", " + self._address if forwarded.addresses else self._address
        lines = forwarded.others + _lines(addresses, forwarded.proto or b"http")
        return lines, forwarded.host or host, forwarded.request_id or next(fresh_ids)

    def client(self, forwarded: ForwardedHeaders = NO_FORWARDED_HEADERS) -> str:
        """The address that a request came from in the first place, as far as trusted proxies tell. For logs."""
        if forwarded is NO_FORWARDED_HEADERS or self._client is None or not self.tells(forwarded):
            return self._told
        return self._client(forwarded.addresses) or self._told


def _parsed(text: str) -> Address:
    """An address, with a port or without. Raises ValueError.

    A zone (`fe80::1%eth0`) is left out: it is that of another machine, and may be any text.
    """
    found = WITH_PORT.fullmatch(text)
    if found is None:
        address = ipaddress.ip_address(text)
        return ipaddress.IPv6Address(int(address)) if isinstance(address, ipaddress.IPv6Address) else address
    ipv4, its_port, ipv6, port = found.groups()
    if int(its_port or port or 0) > MOST_PORT:
        raise ValueError(text)
    return ipaddress.IPv4Address(ipv4) if ipv4 else ipaddress.IPv6Address(ipv6)


def _plain(address: Address) -> Address:
    """An IPv4 client of a dual-stack socket counts as IPv4."""
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


def _lines(addresses: bytes, proto: bytes) -> bytes:
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: " % (addresses, proto)


def _ids() -> Iterator[bytes]:
    """Request ids: 32 hexadecimal digits, unique but not secret."""
    process = os.urandom(10).hex().encode()
    for many in itertools.count():
        start = b"%b%09x" % (process, many)
        for few in FEW:
            yield start + few


fresh_ids = _ids()
