"""To which versions a rollback may go: those of the history that were live."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slot_machine.app.configurations import Configurations
from slot_machine.app.seams import Trees
from slot_machine.core.errors import CommitNotFound, NeverLive, NothingToRollBackTo
from slot_machine.core.model import Attempt, Version, short
from slot_machine.state.history import KEPT_ATTEMPTS
from slot_machine.state.store import Store

ID = re.compile("[0-9]{1,18}")
PREFIX = re.compile("[0-9a-f]{4,64}")
"""The beginning of a commit's hash."""

MOST_LISTED = 10


@dataclass(frozen=True)
class Targets:
    _store: Store
    _worktrees: Trees
    _configurations: Configurations

    async def version(self, to: str) -> Version:
        """`to` is the id of an attempt whose version was live, or such a version's commit, branch or tag.

        Returns the previous version if that is the one. Any other version gets the spare tree. Raises NeverLive,
        NothingToRollBackTo, CommitNotFound, GitFailed.
        """
        attempts = self._store.attempts(KEPT_ATTEMPTS, jobs=False, crashes=False)
        found = await self._found(to, [attempt for attempt in attempts if attempt.went_live])
        if not found:
            known = self._store.attempt(int(to)) if ID.fullmatch(to) else None
            raise self._never_live(to, known, attempts)
        config = found.config or (await self._configurations.of(found.commit))[0]
        state = self._store.state()
        if state.live and (state.live.commit, state.live.config) == (found.commit, config):
            what = f"{short(found.commit)} is live already"
            raise NothingToRollBackTo(what, "`slot-machine restart` starts it afresh")
        if state.previous and (state.previous.commit, state.previous.config) == (found.commit, config):
            return state.previous
        try:
            await self._worktrees.resolve(found.commit)
        except CommitNotFound:
            what = f"git does not have {short(found.commit)} any more, the commit of attempt {found.id}"
            raise CommitNotFound(what, hint="fetch it into the daemon's repository, then roll back again") from None
        return Version(state.idle_slot, found.commit, state.spare_tree, config)

    async def _found(self, to: str, live: Sequence[Attempt]) -> Attempt | None:
        """Of several attempts with the same commit, the latest one. Raises NeverLive, GitFailed."""
        by_id = [attempt for attempt in live if str(attempt.id) == to]
        named = [attempt for attempt in live if PREFIX.fullmatch(to) and attempt.commit.startswith(to)]
        if not by_id and not named:
            try:
                commit = await self._worktrees.resolve(to)
            except CommitNotFound:
                return None
            named = [attempt for attempt in live if attempt.commit == commit]
        if len({attempt.commit for attempt in by_id + named}) > 1:
            raise NeverLive(f"{to!r} may be several versions", _listed(by_id + named))
        return next(iter(by_id + named), None)

    def _never_live(self, to: str, known: Attempt | None, attempts: Sequence[Attempt]) -> NeverLive:
        what = f"{to!r} is no version that was live"
        if known:
            what = f"attempt {to} ({known.kind} of {short(known.commit) or '...'}, {known.result}) made no version live"
        live = self._store.state().live
        return NeverLive(what, _listed([one for one in attempts if one.went_live and not _is(one, live)]))


def _is(attempt: Attempt, live: Version | None) -> bool:
    return live is not None and (attempt.commit, attempt.config) == (live.commit, live.config)


def _listed(attempts: Sequence[Attempt]) -> str:
    """As a hint; each version once, by the latest attempt that made it live."""
    lines = [f"{one.id:>6}  {short(one.commit)}  {one.started_at}  {one.subject}".rstrip() for one in _each(attempts)]
    if not lines:
        return "no other version was live yet: deploy one"
    more = [f"and {len(lines) - MOST_LISTED} earlier ones"] if len(lines) > MOST_LISTED else []
    return "\n".join(["`slot-machine rollback ID` goes to one of these:", *lines[:MOST_LISTED], *more])


def _each(attempts: Sequence[Attempt]) -> Iterator[Attempt]:
    seen: list[tuple[str, object]] = []
    for attempt in attempts:
        if (attempt.commit, attempt.config) not in seen:
            seen.append((attempt.commit, attempt.config))
            yield attempt
