"""What is live on an engine before an attempt begins, and what a client that was killed has left."""

from contextlib import suppress
from typing import NamedTuple

from slot_machine.core.errors import Busy
from slot_machine.core.model import short
from slot_machine.engines.engine import Engine, Live
from slot_machine.engines.release import NOTHING, Ended, Release, now, standing


class Present(NamedTuple):
    """What is live. `releases` has the latest first.

    `before` is what a failure goes back to, by its number, or NOTHING or UNKNOWN; `good` is its record.
    """

    live: Live | None
    releases: list[Release]
    before: int
    good: Release | None

    @property
    def next(self) -> int:
        return self.releases[0].number + 1 if self.releases else 1


def look(engine: Engine) -> Present:
    """Raises Busy if another attempt runs."""
    releases = engine.releases()
    if releases and (latest := releases[0]).result == "running":
        by = f" by {latest.who}" if latest.who else ""
        raise Busy(
            f"a {latest.kind} of {short(latest.commit)}{by} runs since {latest.started_at}",
            "wait for its end; `slot-machine cancel` ends one whose computer is gone",
        )
    if releases and not releases[0].ended:
        ended = Ended(result="succeeded" if is_whole(engine, releases[0]) else "interrupted", ended_at=now())
        with suppress(Busy):
            engine.end(releases[0], ended)
        releases = engine.releases()
    live = engine.live()
    before, good = standing(releases, live.release, live.commit) if live else (NOTHING, None)
    return Present(live, releases, before, good)


def is_whole(engine: Engine, release: Release) -> bool:
    """Whether all that should run is of that release, and healthy."""
    status = engine.status()
    if not status.live or status.updating or not status.healthy:
        return False
    if any(count and name not in status.wanted for name, count in release.app.processes.items()):
        return False
    return {status.live.release, *(copy.release for copy in status.copies)} <= {release.target, 0}
