"""What an engine can do. Each engine implements it; the commands and `flow` know nothing else of it.

What takes long yields lines of output while it works, and returns a summary, which may be empty. All calls raise
EngineFailed if the client can't reach the engine, or the engine refuses.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from slot_machine.engines.release import Ended, Release
from slot_machine.engines.shape import App, Values

Steps = Generator[str, None, str]
"""Lines of output, and at the end a summary."""


class Live(NamedTuple):
    """What the engine says that runs. `release` is 0 if no release of ours made it so."""

    commit: str
    release: int
    env_digest: str = ""
    maintenance: bool = False


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """One running process of the app. `process` is `web` or a worker's name; `since` is RFC 3339.

    `release` is the number that it bears; 0 if it has none.
    """

    id: str
    process: str
    commit: str
    state: str
    node: str = ""
    since: str = ""
    healthy: bool = False
    error: str = ""
    release: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`wanted`: how many copies of each process there should be. `updating`: a rollout goes on."""

    live: Live | None
    wanted: dict[str, int]
    copies: list[Copy]
    updating: bool = False
    notes: tuple[str, ...] = ()
    """What people should know: a job that is not there, an update that the engine has paused."""

    @property
    def healthy(self) -> bool:
        """Whether as many copies of the live version as wanted are healthy."""
        live = self.live
        if not live:
            return False
        counted = dict.fromkeys(self.wanted, 0)
        for copy in self.copies:
            if copy.healthy and copy.commit == live.commit:
                counted[copy.process] = counted.get(copy.process, 0) + 1
        return all(counted[name] >= count for name, count in self.wanted.items())


class Logs(NamedTuple):
    """Which lines of output are wanted: of one process, or of all if it is empty. `since` is RFC 3339, empty for all.

    `lines` is per copy; None is all.
    """

    process: str = ""
    lines: int | None = 100
    since: str = ""
    follow: bool = False


class Finding(NamedTuple):
    """What a check of the engine found. `remedy` says what to do; empty if it is well."""

    what: str
    remedy: str = ""
    fatal: bool = True
    """Whether a deploy can't work like this."""


class Engine(Protocol):
    def check(self) -> Iterator[Finding]:
        """Its client, context, rights, registry and nodes, one after the other."""

    def refuse(self, app: App) -> list[str]:
        """Warnings of what it leaves out. Raises Impossible for what it can't do as the configuration says."""

    def live(self) -> Live | None: ...

    def releases(self) -> list[Release]:
        """The latest first."""

    def platforms(self) -> tuple[str, ...]:
        """Of all nodes that may run the app, such as `linux/amd64`."""

    def begin(self, release: Release) -> None:
        """Keeps it. Raises Busy if somebody else has begun one with that number."""

    def end(self, release: Release, ended: Ended) -> None:
        """Raises Busy if it has ended already: the first end counts."""

    def forget(self, releases: Sequence[Release]) -> None: ...

    def manifest(self, app: App) -> str:
        """Pure: the same for the same app."""

    def give_image(self, app: App) -> Steps:
        """To a registry, or to each node. Raises StageFailed if a node has another one afterwards."""

    def keep_values(self, app: App, values: Values) -> None:
        """As a secret with their digest in its name. Also prepares what else the release command needs."""

    def run_release(self, app: App) -> Steps:
        """The release command, once, in the new image. Raises StageFailed."""

    def apply(self, release: Release) -> None:
        """Begins the rollout of the release's manifest, whose copies bear its `target`. A maintenance goes on."""

    def wait(self, release: Release) -> Steps:
        """Until every copy is one of that release, and healthy. Raises StageFailed with the reason and last lines."""

    def tidy(self, release: Release, keep: Sequence[Release]) -> None:
        """Removes processes that the release has no more, and secrets that no release to keep names."""

    def remove(self, app: App) -> None:
        """All that runs of it, and its secrets, after a first deploy that failed. Its records stay."""

    def status(self) -> Status: ...

    def logs(self, wanted: Logs) -> Iterator[str]:
        """Each is `TIME COPY TEXT`: the time is RFC 3339 in UTC, the copy such as `web.2` or `worker.abcde`."""

    def run(self, argv: Sequence[str], *, terminal: bool) -> int:
        """A command in a copy of the live version of its own. Returns its exit code."""

    def maintain(self, *, on: bool) -> None: ...
