"""The messages between the daemon and a worker: one JSON object a line, over a Unix socket.

The worker answers each `Request` with one `Reply` of the same `id`. Replies may come in another order: `Drained` is
answered when it is true, which may be never. Names on the wire stay, as a daemon adopts workers of earlier releases.
"""

import os

import msgspec

from slot_machine.core.minutes import Minute
from slot_machine.core.upstream import Beside, Counts, Target, Totals, Upstream


class Limits(msgspec.Struct, frozen=True):
    """Time limits, enforced to a quarter of a second. A `response_s` of 0 means none."""

    response_s: float = 60.0
    """From a whole request to the head of its reply."""
    hold_s: float = 60.0
    head_s: float = 30.0
    """From the first byte of a head to its last."""
    idle_s: float = 75.0
    stall_s: float = 60.0
    """Without progress of a request's body, or of a reply that its client doesn't read."""


class Maintenance(msgspec.Struct, frozen=True):
    """What is sent in place of the app's replies: the contents of the file `page`, or the message if there is none.

    `kind` is the Content-Type of the page.
    """

    message: str
    page: str = ""
    kind: str = ""


class Settings(msgspec.Struct, frozen=True):
    """What a worker is told at its start. It inherits the file descriptors; the sockets listen already."""

    version: str = ""
    """Of slot-machine: its code may change while a worker runs."""
    control_fd: int = -1
    gauge_fd: int = -1
    """Shared memory, see `gauge.py`."""
    listener_fds: dict[str, int] = {}
    limits: Limits = Limits()
    trusted_proxies: tuple[str, ...] = ()
    access_log: str = ""
    access_log_mode: int = 0o640
    access_log_combined: bool = False
    upstream: Upstream | None = None
    """What is routed from the first connection on, as in `Route`."""
    targets: dict[str, tuple[Target, ...]] = {}
    holding: bool = False
    maintenance: Maintenance | None = None
    """Whether it begins as after a `Hold`."""
    edge_secret_file: str = ""
    """Has what a request must show before its forwarding fields are believed; empty: their sender's address decides."""
    minutes: bool = False
    """In an introduction: whether the worker knows `Take`. Those of earlier releases do not."""
    beside: Beside | None = None

    def passed(self) -> int:
        """A file descriptor to inherit. Arguments of a process are shown to all users, who must not get the token."""
        fd = os.memfd_create("settings")
        os.write(fd, msgspec.json.encode(self))
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    @classmethod
    def inherited(cls, fd: int) -> "Settings":
        with os.fdopen(fd, "rb") as file:
            return msgspec.json.decode(file.read(), type=cls)


class Route(msgspec.Struct, frozen=True, tag="route", omit_defaults=True):
    """From the reply on, every new request goes to `upstream`, or to those in `targets` for its listener.

    Without an upstream, or with an empty list, it is answered 503. Ends a `Hold`, and the reply counts what was held.
    Those that the rules of `beside` name go to its upstream. Older workers, which a daemon may adopt to let them
    retire, ignore `targets` and `beside`.
    """

    upstream: Upstream | None
    targets: dict[str, tuple[Target, ...]] = {}
    beside: Beside | None = None


class Hold(msgspec.Struct, frozen=True, tag="hold", omit_defaults=True):
    """From the reply on, new requests wait for the next `Route`, for `limit_s` at most. 0 is `Limits.hold_s`.

    Older workers ignore `limit_s`.
    """

    limit_s: float = 0.0


class Drained(msgspec.Struct, frozen=True, tag="drained"):
    """Answered once nothing claimed from this upstream is in flight."""

    run_id: int = msgspec.field(name="upstream")


class Unwind(msgspec.Struct, frozen=True, tag="unwind"):
    """The upstream is about to stop: end its WebSockets and event streams one after the other within that time.

    Their clients are told so even if the app dies before.
    """

    run_id: int = msgspec.field(name="upstream")
    over_s: float


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """The upstream's processes are gone: cut what is left of it. The reply carries its final counts."""

    run_id: int = msgspec.field(name="upstream")


class Measure(msgspec.Struct, frozen=True, tag="measure"):
    """The reply carries the totals by slot, and how many clients are connected."""


class Take(msgspec.Struct, frozen=True, tag="take", omit_defaults=True):
    """The reply carries the oldest minute that is over and that no reply has carried yet, if there is one.

    `current`: the current minute ends now. Workers whose `Settings.minutes` is false don't know this order.
    """

    current: bool = False


class Introduce(msgspec.Struct, frozen=True, tag="introduce"):
    """The reply carries the settings with what is routed now, and the pid.

    The gauge and the listeners come with it as ancillary data (SCM_RIGHTS, unix(7)), in the order of `listener_fds`.
    A worker that retires sends no listeners.
    """


class Retire(msgspec.Struct, frozen=True, tag="retire"):
    """Accept no more connections. Each is closed with its next reply, and after the last one the worker exits."""


class Maintain(msgspec.Struct, frozen=True, tag="maintain"):
    """From the reply on, new requests get the page, but for those for the app's health. None ends that."""

    maintenance: Maintenance | None


class Close(msgspec.Struct, frozen=True, tag="close"):
    """Accept no more connections and close idle ones. Requests in flight go on, and their replies say `close`."""


Op = Route | Hold | Drained | Unwind | Forget | Measure | Take | Introduce | Retire | Close | Maintain


class Request(msgspec.Struct, frozen=True):
    id: int
    op: Op


class Reply(msgspec.Struct, frozen=True):
    id: int
    counts: Counts | None = None
    totals: dict[str, Totals] | None = None
    clients: int = 0
    pid: int = 0
    settings: Settings | None = None
    minute: Minute | None = None
