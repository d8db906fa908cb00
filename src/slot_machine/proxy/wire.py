"""What the daemon and a data-plane process say to each other: one JSON object a line, over a Unix socket.

The daemon sends a `Request`, the data plane answers each with one `Reply` of the same `id`. Replies may come out of
order: `Drained` is answered when it is true, which can be never.
"""

import msgspec

from slot_machine.core.upstream import Counts, Upstream


class Settings(msgspec.Struct, frozen=True):
    """The only argument of a data-plane process. File descriptors are inherited, already listening."""

    control_fd: int
    listener_fds: dict[str, int]
    response_timeout_s: float = 60.0
    hold_timeout_s: float = 60.0
    upstream: Upstream | None = None
    """What is routed from the first connection on."""


class Route(msgspec.Struct, frozen=True, tag="route"):
    """From the reply on, every new request goes to `upstream`; with none, it is answered 503. Ends a `Hold`."""

    upstream: Upstream | None


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """From the reply on, new requests wait for the next `Route`."""


class Drained(msgspec.Struct, frozen=True, tag="drained"):
    """Answered once nothing claimed from this upstream is in flight."""

    upstream: int


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """The upstream's processes are gone: cut what is left of it. The reply carries its final counts."""

    upstream: int


class Close(msgspec.Struct, frozen=True, tag="close"):
    """Stop accepting connections and close idle ones; those in flight go on, with `Connection: close`."""


class Request(msgspec.Struct, frozen=True):
    id: int
    op: Route | Hold | Drained | Forget | Close


class Reply(msgspec.Struct, frozen=True):
    """`error` is empty on success."""

    id: int
    error: str = ""
    counts: Counts | None = None
