"""What an engine keeps of one deploy, rollback or restart: it is the history, and what a rollback applies."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

import msgspec

from slot_machine.core.errors import EngineFailed, NeverLive, NothingToRollBackTo
from slot_machine.core.model import rfc3339, short
from slot_machine.engines.shape import App

T = TypeVar("T")

Kind = Literal["deploy", "rollback", "restart"]
Result = Literal["running", "succeeded", "failed", "cancelled", "interrupted"]

KEPT = 10
"""So many of the latest releases are kept, with those that are live and that a rollback goes to."""
SHORTEST_COMMIT = 4
"""Of the beginning of a commit's hash that is taken for one."""
NOTHING, UNKNOWN = 0, -1
"""In place of the number of the release that was live: nothing was, or something that no record tells of."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a release ended. `stage` and `error` are those of a failure."""

    result: Result
    ended_at: str
    stage: str = ""
    error: str = ""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """`target` is the release whose manifest was applied: itself, for a deploy. Copies bear its number.

    `before` was live when this one began. Times are RFC 3339 in UTC.
    """

    number: int
    kind: Kind
    app: App
    manifest: str
    """What was applied, as the engine takes it. It names secrets, and has no value of one."""
    target: int
    before: int = NOTHING
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


def read(text: str | bytes, kind: type[T], name: str, remove: str) -> T:
    """A record of an engine, where others may write. `remove` is the command that removes it. Raises EngineFailed."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        what = f"the record {name} is none that this version of slot-machine knows: {error}"
        raise EngineFailed(what, f"use the slot-machine that wrote it, or a newer one; `{remove}` removes it") from None


def now(plus_s: float = 0) -> str:
    return rfc3339(datetime.now(UTC) + timedelta(seconds=plus_s))


def numbered(releases: Sequence[Release], number: int) -> Release | None:
    return next((release for release in releases if release.number == number), None)


def standing(releases: Sequence[Release], live: int, commit: str) -> tuple[int, Release | None]:
    """The release that a failure goes back to, by its number, or NOTHING or UNKNOWN, and its record.

    `live` and `commit` are what the engine says that is live. If the last attempt to make it live did not succeed, it
    may run in part only: then it is what was live before that attempt. `releases` has the latest first.
    """
    for _ in releases:
        made = next((release for release in releases if release.target == live), None)
        if not made:
            break
        if made.result == "succeeded":
            return live, numbered(releases, live) or made
        live, commit = made.before, ""
    if live == NOTHING and not commit:
        return NOTHING, None
    for release in _succeeded(releases):
        if release.commit == commit:
            return release.target, release
    return UNKNOWN, None


def previous(releases: Sequence[Release], live: Release) -> Release:
    """What a rollback goes to: the last release with another version than `live` that was live.

    `releases` has the latest first. Raises NothingToRollBackTo.
    """
    for release in _succeeded(releases):
        if (release.commit, release.app.version) != (live.commit, live.app.version):
            return numbered(releases, release.target) or release
    raise NothingToRollBackTo("there is no previous version that the engine still knows", "deploy a commit instead")


def wanted(releases: Sequence[Release], to: str) -> Release:
    """By its number, or the latest one of a commit that was live. Raises NeverLive."""
    succeeded = _succeeded(releases)
    by_number = [release for release in succeeded if to == str(release.number)]
    by_commit = [release for release in succeeded if len(to) >= SHORTEST_COMMIT and release.commit.startswith(to)]
    for release in [*by_number, *by_commit]:
        return numbered(releases, release.target) or release
    known = ", ".join(dict.fromkeys(short(release.commit) for release in succeeded))
    raise NeverLive(f"{to!r} is no release that was live", f"these were: {known}" if known else "deploy it instead")


def superfluous(releases: Sequence[Release], needed: Sequence[Release]) -> list[Release]:
    """Releases that need not be kept: neither among the latest, nor `needed`, nor what made these live.

    The latest one is never among them: its number is the last one that was given.
    """
    numbers = {release.number for release in releases[:KEPT]}
    for target in {release.target for release in needed}:
        made = [release.number for release in releases if release.target == target and release.result == "succeeded"]
        numbers |= {target, *made[:1]}
    return [release for release in releases if release.number not in numbers]


def _succeeded(releases: Sequence[Release]) -> list[Release]:
    return [release for release in releases if release.result == "succeeded"]
