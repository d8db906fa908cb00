"""Messages to and from the keeper: one JSON object a line, over a Unix socket.

The keeper answers each `Request` with one `Reply` of the same `id`, in any order. Some replies wait for a condition,
which may never become true.
"""

import msgspec


class OfRun(msgspec.Struct, frozen=True, rename={"run_id": "app"}):
    """A message about one run. Keepers of earlier releases know `run_id` as `app`."""

    run_id: int


class Attend(OfRun, frozen=True, tag="attend"):
    """A run begins. Sent by the wrapper, the leader of its session, with the file descriptor of the notifications."""

    ports: tuple[int, ...]
    """The ports that are handed over from one version to the next."""


class Listens(OfRun, frozen=True, tag="listens"):
    """Answered when the run listens wherever the live one does, so that health checks reach it and no other.

    `error` says why it can't.
    """


class Promote(msgspec.Struct, frozen=True, tag="promote", rename={"run_id": "app"}):
    """After the reply, every new connection goes to this run. None: no run is live."""

    run_id: int | None


class Drained(OfRun, frozen=True, tag="drained"):
    """Answered when a run that is no longer live has no connections."""


class Relay(OfRun, frozen=True, tag="relay"):
    """The run is about to stop. Connections that arrive at it are passed to the live one."""


class Forget(OfRun, frozen=True, tag="forget"):
    """The run's processes are gone. Connections that they have not accepted are passed on; then the port is closed."""


class Inspect(OfRun, frozen=True, tag="inspect"):
    """`error` says why this machine allows no handover, or why this run can't listen beside the live one."""

    run_id: int = 0


Op = Attend | Listens | Promote | Drained | Relay | Forget | Inspect


class Request(msgspec.Struct, frozen=True):
    id: int
    op: Op


class Reply(msgspec.Struct, frozen=True):
    """`error` is empty on success. `live` is the run that is live and listens, 0 if there is none."""

    id: int
    error: str = ""
    live: int = 0
    pid: int = 0
    """The keeper's pid."""
