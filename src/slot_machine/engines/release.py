"""What an engine keeps of one deploy, rollback or restart: it is the history, and what a rollback applies."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from slot_machine.core.errors import NeverLive, NothingToRollBackTo
from slot_machine.core.model import rfc3339, short
from slot_machine.engines.shape import App

Kind = Literal["deploy", "rollback", "restart"]
Result = Literal["running", "succeeded", "failed", "cancelled", "interrupted"]

KEPT = 10
"""So many of the latest releases are kept, with those that are live and that a rollback goes to."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a release ended. `stage` and `error` are those of a failure."""

    result: Result
    ended_at: str
    stage: str = ""
    error: str = ""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """`target` is the release whose manifest was applied: itself, for a deploy. `before` was live when it began.

    Times are RFC 3339 in UTC.
    """

    number: int
    kind: Kind
    app: App
    manifest: str
    """What was applied, as the engine takes it. It names secrets, and has no value of one."""
    target: int
    before: int = 0
    started_at: str
    until: str
    """When all its time limits have passed: without an end, it counts as interrupted from then on."""
    who: str = ""
    message: str = ""
    ref: str = ""
    subject: str = ""
    author: str = ""
    ended: Ended | None = None

    @property
    def commit(self) -> str:
        return self.app.commit

    @property
    def result(self) -> Result:
        if self.ended:
            return self.ended.result
        return "running" if now() < self.until else "interrupted"


def now(plus_s: float = 0) -> str:
    return rfc3339(datetime.now(UTC) + timedelta(seconds=plus_s))


def numbered(releases: Sequence[Release], number: int) -> Release | None:
    return next((release for release in releases if release.number == number), None)


def previous(releases: Sequence[Release], live: int) -> Release:
    """What a rollback goes to: the release that was live before the one numbered `live`.

    `releases` has the latest first. Raises NothingToRollBackTo.
    """
    for release in releases:
        if release.result == "succeeded" and release.target == live and release.before not in (0, live):
            if found := numbered(releases, release.before):
                return found
            break
    raise NothingToRollBackTo("there is no previous version that the engine still knows", "deploy a commit instead")


def wanted(releases: Sequence[Release], to: str) -> Release:
    """By its number, or the latest one of a commit that was live. Raises NeverLive."""
    for release in releases:
        by_commit = len(to) >= 4 and release.commit.startswith(to)
        if (
            release.result == "succeeded"
            and release.target == release.number
            and (by_commit or to == str(release.number))
        ):
            return release
    known = ", ".join(dict.fromkeys(short(release.commit) for release in releases if release.result == "succeeded"))
    raise NeverLive(f"{to!r} is no release that was live", f"these were: {known}" if known else "deploy it instead")


def superfluous(releases: Sequence[Release], live: int) -> list[Release]:
    """Releases that need not be kept: neither among the latest, nor live, nor what a rollback may go to."""
    needed = {live, *(release.before for release in releases[:KEPT]), *(release.target for release in releases[:KEPT])}
    return [release for release in releases[KEPT:] if release.number not in needed]
