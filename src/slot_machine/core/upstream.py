"""One start of the app as the data plane sees it, and what it counted of that start."""

import msgspec

PUBLIC = "public"
INTERNAL = "internal"


class Address(msgspec.Struct, frozen=True):
    """A TCP address on loopback: `host` is `127.0.0.1` or `::1`."""

    host: str
    port: int


class Upstream(msgspec.Struct, frozen=True):
    """One start of the app. `addresses` says, per listener (`public`, `internal`), where this start listens."""

    id: int
    slot: str
    addresses: dict[str, Address]


class Counts(msgspec.Struct):
    """What became of the requests of one upstream, from the switch away from it on."""

    finished: int = 0
    """Requests in flight at the switch that were answered in full after it."""
    replayed: int = 0
    """Requests sent again on a fresh connection because a kept-alive one turned out closed."""
    held: int = 0
    """Requests that waited for this upstream while nothing was routed (`strategy: replace`)."""
    refused: int = 0
    """Requests answered 502, 503 or 504 by the proxy itself."""
    cut: int = 0
    """Requests that ended before their reply did; includes `cut_streams`."""
    cut_streams: int = 0
    """Of `cut`, those that were WebSockets or event streams."""
