"""Whether a name leads to this edge: only then a certificate is ordered, as each failure counts at the authority."""

import contextlib
import http.client
import ipaddress
import socket
from collections.abc import Callable, Iterable

HTTP_PORT = 80
"""Where authorities look."""
LIMIT_S = 5.0
MOST_ADDRESSES = 8
_V4 = (
    "173.245.48.0/20 103.21.244.0/22 103.22.200.0/22 103.31.4.0/22 141.101.64.0/18 108.162.192.0/18 190.93.240.0/20"
    " 188.114.96.0/20 197.234.240.0/22 198.41.128.0/17 162.158.0.0/15 104.16.0.0/13 104.24.0.0/14 172.64.0.0/13"
    " 131.0.72.0/22"
)
_V6 = "2400:cb00::/32 2606:4700::/32 2803:f800::/32 2405:b500::/32 2405:8100::/32 2a06:98c0::/29 2c0f:f248::/32"
CLOUDFLARE = tuple(ipaddress.ip_network(network) for network in f"{_V4} {_V6}".split())
PROXIED = "proxied by Cloudflare: use acme_challenge http-01, or a certificate of your own"

Lookup = Callable[[str], Iterable[str]]


def addresses(name: str) -> list[str]:
    """All, of both families. Raises OSError."""
    found = socket.getaddrinfo(name, HTTP_PORT, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def obstacle(name: str, path: str, token: str, challenge: str, lookup: Lookup = addresses) -> str:
    """Why no certificate for that name should be ordered yet; empty if nothing stands in the way. Blocks.

    Each of its addresses is asked on port 80: one that leads elsewhere, such as an old AAAA, lets the order fail.
    """
    try:
        found = list(lookup(name))[:MOST_ADDRESSES]
    except OSError as error:
        return f"waiting for DNS of {name}: {error.strerror or error}"
    if not found:
        return f"waiting for DNS of {name}: it has no address"
    for address in found:
        if challenge == "tls-alpn-01" and is_proxied(address):
            return f"{name} is {PROXIED}"
        if reason := _probe(name, address, path, token):
            return f"waiting for DNS of {name}: {reason}"
    return ""


def is_proxied(address: str) -> bool:
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in CLOUDFLARE if network.version == parsed.version)
    return False


def _probe(name: str, address: str, path: str, token: str) -> str:
    connection = http.client.HTTPConnection(address, HTTP_PORT, timeout=LIMIT_S)
    try:
        connection.request("GET", path, headers={"Host": name, "Connection": "close"})
        location = connection.getresponse().getheader("Location", "")
    except (OSError, http.client.HTTPException) as error:
        return f"{address} does not answer on port {HTTP_PORT}: {error}"
    finally:
        connection.close()
    return "" if location.endswith(token) else f"{address} is another server"
