"""The nouns of a deploy: slots, versions, what is live, and what was tried."""

from datetime import UTC, datetime
from typing import Literal

import msgspec

from slot_machine.core.upstream import Counts, Upstream

Slot = Literal["a", "b"]
Kind = Literal["deploy", "rollback", "recovery"]
Result = Literal["running", "succeeded", "failed", "cancelled", "interrupted"]

SLOTS: tuple[Slot, Slot] = ("a", "b")
TREES = (1, 2, 3)
"""The worktrees: one for each slot, and a spare one in which the next version is prepared."""

WEB = "web"
"""The run that answers the visitors; each release has one."""


def other(slot: Slot) -> Slot:
    return "b" if slot == "a" else "a"


class Version(msgspec.Struct, frozen=True):
    """A commit (its full hash), the slot it runs in, ran in, or is to run in, and the tree with its files."""

    slot: Slot
    commit: str
    tree: int = 0


class Rules(msgspec.Struct, frozen=True):
    """How a run is stopped, and what follows if it ends by itself."""

    stop_grace_s: float = 0.0
    """It gets at least this long between SIGTERM and SIGKILL, even if its release has less time left."""
    restart: bool = True
    """Whether it is started again when it has ended."""


class Running(msgspec.Struct, frozen=True):
    """A run, as the database describes it to the next daemon. `upstream` is None until the run was healthy.

    `run_id` is also the id of its upstream.
    """

    version: Version
    run_id: int = msgspec.field(name="number")
    port: int = 0
    internal_port: int = 0
    upstream: Upstream | None = None
    rules: Rules = Rules()


class State(msgspec.Struct, frozen=True):
    """What is live and where a rollback goes to.

    `last_deploy_time` is RFC 3339 in UTC, empty before the first deploy.
    """

    live: Version | None = None
    previous: Version | None = None
    last_deploy_time: str = ""

    @property
    def idle_slot(self) -> Slot:
        """Where the next version is prepared."""
        return other(self.live.slot) if self.live else "a"

    @property
    def spare_tree(self) -> int:
        """The first one that neither slot uses."""
        used = {version.tree for version in (self.live, self.previous) if version}
        return next(tree for tree in TREES if tree not in used)

    def promoted(self, version: Version, time: str) -> "State":
        """The state after `version` took over from the live one.

        A commit that takes over from itself does not replace the previous version, which moves to the slot that is
        free now, and to the tree that is free now if its own was overwritten.
        """
        if not self.live or self.live.commit != version.commit:
            return State(version, self.live, time)
        kept = self.previous if self.previous and self.previous.commit != version.commit else None
        if not kept:
            return State(version, None, time)
        tree = self.live.tree if kept.tree == version.tree else kept.tree
        return State(version, Version(other(version.slot), kept.commit, tree), time)


class Contents(msgspec.Struct, frozen=True):
    """What a tree holds: a commit that was prepared in full, and how it then differed from that commit.

    `fingerprint` is a digest of the changes that the setup made to tracked files.
    """

    commit: str
    fingerprint: str


class Made(msgspec.Struct, frozen=True):
    """What a setup left in a tree beside the commit's files: the size of each file, and its time of change in ns.

    A file of the commit that it removed has a size of -1.

    `unfinished`: it did not end, so what changed since it began is its, but for what git ignores.
    """

    files: dict[bytes, tuple[int, int]] = {}
    unfinished: bool = False


class Attempt(msgspec.Struct, kw_only=True):
    """One deploy, rollback or recovery as the history keeps it. Durations are in seconds, per stage reached."""

    id: int
    kind: Kind
    trigger: str
    """What started it: `api`, `cli` or `start`."""
    commit: str = ""
    slot: str = ""
    started_at: str
    stage: str = ""
    result: Result = "running"
    error: str = ""
    seconds: float = 0.0
    stage_seconds: dict[str, float] = {}
    requests: Counts | Literal[""] = ""
    """What the switch did to them; empty where nobody counted."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a deploy's progress.

    `event` is `started`, `output` (a line that the setup printed, or a warning), `finished` or `failed`; `seconds` is
    the duration of the stage so far.
    """

    event: Literal["started", "output", "finished", "failed"]
    stage: str
    message: str
    seconds: float = 0.0


class Printed(msgspec.Struct, frozen=True):
    """A piece of what the setup prints, as it came: lines may begin and end anywhere. `seconds` as in `Progress`."""

    piece: bytes
    stage: str
    seconds: float


def short(commit: str) -> str:
    return commit[:8]


def rfc3339(moment: datetime) -> str:
    """In UTC, to the millisecond. Such texts sort as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
