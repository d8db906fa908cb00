"""What is said to the keeper: one JSON object a line, over a Unix socket.

It answers each `Request` with one `Reply` of the same `id`, in any order: some answers come when something has become
true, which can be never. An app is one start of a version, under the number of its upstream.
"""

import msgspec


class OfRun(msgspec.Struct, frozen=True, rename={"run_id": "app"}):
    """A message about one run. Keepers of earlier releases know `run_id` as `app`."""

    run_id: int


class Attend(OfRun, frozen=True, tag="attend"):
    """Sent by the wrapper, which leads the app's session, with the file descriptor that notifications come from."""

    ports: tuple[int, ...]
    """Those that are handed over from one version to the next."""


class Listens(OfRun, frozen=True, tag="listens"):
    """Answered when the app listens wherever the live one does, so that health checks reach it and no other.

    `error` says that this can't be.
    """


class Promote(msgspec.Struct, frozen=True, tag="promote", rename={"run_id": "app"}):
    """From the reply on, every new connection goes to `app`. None: there is no live one."""

    run_id: int | None


class Drained(OfRun, frozen=True, tag="drained"):
    """Answered when an app that is no longer live has no connection left."""


class Relay(OfRun, frozen=True, tag="relay"):
    """The app is about to stop: pass on to the live one what still arrives at it."""


class Forget(OfRun, frozen=True, tag="forget"):
    """The app's processes are gone: pass on what they left, and let go of the port."""


class Inspect(OfRun, frozen=True, tag="inspect"):
    """`error` says why this machine allows no handover, or why that app could not be bound beside the live one."""

    run_id: int = 0


Op = Attend | Listens | Promote | Drained | Relay | Forget | Inspect


class Request(msgspec.Struct, frozen=True):
    id: int
    op: Op


class Reply(msgspec.Struct, frozen=True):
    """`error` is empty on success. `live` is the app that is live and was seen to listen, 0 if there is none."""

    id: int
    error: str = ""
    live: int = 0
    pid: int = 0
    """The keeper's."""
