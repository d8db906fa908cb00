"""The nouns of a deploy: slots, versions, what is live, and what was tried."""

from datetime import UTC, datetime
from typing import Literal

import msgspec

from slot_machine.core.phases import Phase
from slot_machine.core.upstream import Counts, Upstream
from slot_machine.core.version_config import VersionConfig

Slot = Literal["a", "b"]
Kind = Literal["deploy", "rollback", "recovery", "job", "restart", "crash", "promote"]
Result = Literal["running", "succeeded", "failed", "cancelled", "interrupted", "missed", "held", "shared"]

SLOTS: tuple[Slot, Slot] = ("a", "b")
TREES = (1, 2, 3)
"""The worktrees: one for each slot, and a spare one in which the next version is prepared."""

WEB = "web"
"""The run that answers the visitors; each release has one."""


def other(slot: Slot) -> Slot:
    return "b" if slot == "a" else "a"


NOT_CONFIGURED = VersionConfig(start_command="")


class Version(msgspec.Struct, frozen=True, eq=False):
    """A commit (its full hash), with the slot that it runs in and the tree that holds its files.

    `config` is what it was deployed with; later commits don't change it. It does not count for equality.
    """

    slot: Slot
    commit: str
    tree: int = 0
    config: VersionConfig = NOT_CONFIGURED

    def __eq__(self, another: object) -> bool:
        return isinstance(another, Version) and self._identity == another._identity

    def __ne__(self, another: object) -> bool:
        return not self == another

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, str, int]:
        return self.slot, self.commit, self.tree

    def moved(self, slot: Slot, tree: int) -> "Version":
        return Version(slot, self.commit, tree, self.config)


class Retiring(msgspec.Struct, frozen=True):
    """Of a side run that was replaced: it ends in its own time.

    The times are those of the monotonic clock, which all daemons share until the machine boots again.
    """

    since_s: float
    attempt: int = 0
    """The id of the attempt that replaced it; 0 if there was none."""
    told_s: float = 0.0
    """When it got its stop signal; 0 if it has not got that yet."""


class Running(msgspec.Struct, frozen=True):
    """A run, as the database describes it to the next daemon. `upstream` is None until the run was healthy.

    `run_id` is also the id of its upstream. `env_digest` is that of the `env_file` that the web run got.
    """

    version: Version
    run_id: int = msgspec.field(name="number")
    port: int = 0
    internal_port: int = 0
    upstream: Upstream | None = None
    retiring: Retiring | None = None
    env_digest: str = ""


class State(msgspec.Struct, frozen=True):
    """The live version, and the one that a rollback makes live.

    `last_deploy_time` is RFC 3339 in UTC, empty before the first deploy.
    """

    live: Version | None = None
    previous: Version | None = None
    last_deploy_time: str = ""

    @property
    def idle_slot(self) -> Slot:
        """The slot of the next version."""
        return other(self.live.slot) if self.live else "a"

    @property
    def spare_trees(self) -> list[int]:
        """Those that neither slot uses; there is one at least."""
        used = {version.tree for version in (self.live, self.previous) if version}
        return [tree for tree in TREES if tree not in used]

    @property
    def spare_tree(self) -> int:
        """The next version is prepared there."""
        return self.spare_trees[0]

    def promoted(self, version: Version, time: str) -> "State":
        """The state after `version` has replaced the live one, which becomes the previous version.

        If both are the same commit, the previous version stays what it is. It moves to the slot that is free now, and
        to the tree that is free now if `version` overwrote its own.
        """
        if not self.live or self.live.commit != version.commit:
            return State(version, self.live, time)
        kept = self.previous if self.previous and self.previous.commit != version.commit else None
        if not kept:
            return State(version, None, time)
        tree = self.live.tree if kept.tree == version.tree else kept.tree
        return State(version, kept.moved(other(version.slot), tree), time)


class Contents(msgspec.Struct, frozen=True):
    """What a tree holds: a commit that was checked out and set up to the end.

    `fingerprint` is a digest of the changes that the setup made to tracked files.
    """

    commit: str
    fingerprint: str


class Made(msgspec.Struct, frozen=True):
    """What a setup left in a tree beside the commit's files: by name, each file's size and time of change in ns.

    A file of the commit that the setup removed has a size of -1.

    `unfinished`: the setup did not end. Any file that changed since it began counts as made by it, unless git ignores
    the file. `ready_ns`: when the tree was prepared, in ns since the epoch; 0 if that is not known.
    """

    files: dict[bytes, tuple[int, int]] = {}
    unfinished: bool = False
    ready_ns: int = 0


class SetUp(msgspec.Struct, frozen=True):
    """What a finished setup of a tree depended on, and what it left there. All values are digests.

    `inputs` are the commit's files, `facts` those of the machine, `environment` is that of the command. `installed` are
    folders of packages, and `made` the other files, as in `Made`.
    """

    commit: str
    inputs: dict[str, str]
    facts: dict[str, str]
    environment: str
    installed: dict[str, str]
    made: dict[bytes, tuple[int, int]]


class Attempt(msgspec.Struct, kw_only=True):
    """One deploy, rollback, recovery, restart, crash or run of a job, as the history has it.

    The fields are in the order of the table's columns. `stage_seconds` has the duration of each stage that was reached.
    """

    id: int
    kind: Kind
    trigger: str
    """What set it off: `api`, `cli`, `push`, `follow`, `memory`, `schedule` for a job, `supervisor` for a crash, or
    `start` for the start of the daemon."""
    commit: str = ""
    slot: str = ""
    started_at: str
    stage: str = ""
    result: Result = "running"
    error: str = ""
    seconds: float = 0.0
    stage_seconds: dict[str, float] = {}
    requests: Counts | Literal[""] = ""
    """What became of the requests at the switch; empty where nobody counted them."""
    warnings: tuple[str, ...] = ()
    config: VersionConfig | Literal[""] = ""
    """What the version was deployed with; empty before it was known, and for a job."""
    job: str = ""
    """The name of the job that ran, or that was due and did not run."""
    who: str = ""
    """Who asked for it; empty if nobody did."""
    message: str = ""
    """What that person said about it."""
    ref: str = ""
    """The branch or tag that was named; empty if there was none."""
    subject: str = ""
    """The first line of the commit's message."""
    author: str = ""
    """The commit's author."""
    cause: str = ""
    """Of a restart or a crash: why."""
    away_s: float = 0.0
    """For how long the port answered 503 because of it."""
    verdict: str = ""
    """What the watch of the version came to; empty if it was not watched."""
    share: float = 0.0
    """Of a `promote`: so many per cent of the visitors were to get the version; 0 for all of them."""

    @property
    def went_live(self) -> bool:
        """Whether it made its version live. The daemon may have ended right after the switch."""
        switched = self.stage == Phase.DRAIN and Phase.SWITCH in self.stage_seconds
        succeeded = self.result == "succeeded" or (self.result == "interrupted" and switched)
        return succeeded and self.kind in ("deploy", "rollback", "restart", "recovery", "promote")

    @property
    def released(self) -> str:
        """The release command that was begun; empty if there was none."""
        begun = self.stage == Phase.RELEASE or Phase.RELEASE in self.stage_seconds
        return (self.config.release_command or "") if self.config and begun else ""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A step of an attempt, as its client is told of it.

    `output` is a line that the setup printed, or a warning. `seconds` is the duration of the stage so far.
    """

    event: Literal["started", "output", "finished", "failed"]
    stage: str
    message: str
    seconds: float = 0.0
    app: str = ""
    """Its name."""


class Printed(msgspec.Struct, frozen=True):
    """Bytes that the setup printed. A line may begin in one piece and end in another. `seconds` is as in `Progress`."""

    piece: bytes
    stage: str
    seconds: float


def short(commit: str) -> str:
    return commit[:8]


def rfc3339(moment: datetime) -> str:
    """In UTC, to the millisecond. Such texts sort as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
