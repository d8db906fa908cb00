"""The candidate that is held: it is watched until somebody promotes or aborts it, or its time is over."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.attempts import Attempts
from slot_machine.app.clock import monotonic_s, now
from slot_machine.app.ending_candidates import EndingCandidates
from slot_machine.app.failures import going_on
from slot_machine.app.hold_watch import HoldWatch
from slot_machine.app.judging import Gather
from slot_machine.app.release import Release, describe
from slot_machine.app.share_watch import ShareWatch
from slot_machine.core.candidate import Candidate
from slot_machine.core.errors import Impossible, NothingHeld
from slot_machine.core.masking import Masking
from slot_machine.core.model import Result, Version
from slot_machine.core.phases import Phase
from slot_machine.core.preview import link
from slot_machine.core.verdict import Verdict
from slot_machine.state.store import Store
from slot_machine.traffic.protocol import Traffic

TOKEN_BYTES = 18
SHARE_ID_BYTES = 4

TakesOver = Callable[[Release], Awaitable[None]]
"""Goes on with a release that an earlier daemon left running."""

log = logging.getLogger(__name__)


class Candidates:
    """There is one at most. Its web run runs in the idle slot; side runs and jobs begin when it is promoted.

    What the database says of it is what the next daemon finds.
    """

    def __init__(
        self,
        store: Store,
        masking: Masking,
        traffic: Traffic,
        attempts: Attempts,
        tasks: asyncio.TaskGroup,
        timeout_s: float,
        address: str,
        gather: Gather,
    ) -> None:
        """It is aborted when it was held for `timeout_s`. `address` is the one that visitors use."""
        self.share_watch = ShareWatch(gather, attempts, tasks)
        self.ending = EndingCandidates(traffic, attempts, tasks)
        self.release: Release | None = None
        """While it is held or being promoted."""
        self._store = store
        self._traffic = traffic
        self._attempts = attempts
        self._address = address
        self._deployed_by = 0
        self._watch = HoldWatch(masking, tasks, timeout_s)

    @property
    def record(self) -> Candidate | None:
        """One that does not run has failed, even if that could not be written down. Raises sqlite3.Error.

        None also for a version that is not watched any more, if that could not be written down.
        """
        candidate = self._store.candidate()
        if candidate and candidate.state == "watched" and not self._attempts.runs(candidate.attempt):
            return None
        if candidate and candidate.waits and not self.release:
            return candidate.failed("it does not run any more")
        return candidate

    @property
    def preview_url(self) -> str:
        """A secret: who has it gets the candidate. Empty while there is none. Raises sqlite3.Error."""
        candidate, release = self.record, self.release
        return link(self._address, candidate.token) if candidate and candidate.token and release else ""

    async def hold(self, release: Release, attempt: int) -> str:
        """From here on, the release is in its care. Returns the preview's link.

        Raises sqlite3.Error; then it is not in its care. If it is cancelled, nothing is held.
        """
        candidate = Candidate(release.version, attempt, now(), monotonic_s(), token=secrets.token_urlsafe(TOKEN_BYTES))
        self._store.save_candidate(candidate)
        self.release = release
        try:
            await self._offer(candidate)
        except BaseException:
            self._stop()
            with going_on("cannot write down that nothing is held"):
                self._store.end_candidate(candidate, "cancelled", "")
            raise
        # Only now: if it ended before that, the deploy would be written down as `held` after its failure.
        self._keep(release, candidate)
        return link(self._address, candidate.token)

    def check_held(self) -> Candidate:
        """Raises NothingHeld, Impossible for one that has failed, sqlite3.Error."""
        candidate = self.record
        if not candidate or candidate.state == "watched":
            raise NothingHeld("no candidate is held, so there is nothing to promote", "`deploy --hold` holds one")
        if candidate.state == "failed":
            what = f"the candidate {describe(candidate.version)} has failed ({candidate.error})"
            raise Impossible(f"{what}, so it can't be promoted", "`slot-machine abort` ends it; then deploy again")
        return candidate

    def running(self) -> Release:
        """The release of the one that waits. Raises NothingHeld, Impossible, sqlite3.Error."""
        self.check_held()
        assert self.release
        return self.release

    async def share(self, share: int) -> None:
        """From here on, so many of 10,000 visitors get it. If that fails, it is as before.

        Raises NothingHeld, Impossible, sqlite3.Error.
        """
        before, release = self.check_held(), self.running()
        share_id = before.share_id or secrets.token_hex(SHARE_ID_BYTES)
        shared = before.shared(share, share_id, now(), monotonic_s())
        self._store.save_candidate(shared)
        try:
            if release.upstream:
                await self._traffic.offer(shared.beside(release.upstream))
        except BaseException:
            if self._store.candidate() == shared:
                self._store.save_candidate(before)
                await self._offer(before)
            raise
        self.check_held()
        self._unwatch()
        self._keep(release, shared)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Release]:
        """For its promotion. If that fails it stays held, unless it does not run any more.

        Raises NothingHeld, Impossible, sqlite3.Error.
        """
        candidate, release = self.check_held(), self.release
        assert release
        self._unwatch()
        try:
            yield release
        except BaseException as error:
            if release.running:
                self._keep(release, candidate)
            else:
                failed = isinstance(error, Exception)
                self._failed(candidate, f"its promotion failed: {error}" if failed else "its promotion was broken off")
            raise
        self.release = None

    def failed_one(self, version: Version, attempt: int, verdict: Verdict) -> Candidate:
        """Of a version that was taken back, and runs on for a look."""
        token, error = secrets.token_urlsafe(TOKEN_BYTES), f"taken back: {verdict.why}"
        return Candidate(
            version, attempt, now(), monotonic_s(), "failed", error, token=token, runs_on=True, verdict=verdict
        )

    async def keep_failed(self, release: Release, candidate: Candidate) -> None:
        """From here on, it is in its care, until it is aborted. The database knows it already."""
        self._keep(release, candidate)
        await self._offer(candidate)

    def end_release(self, release: Release) -> None:
        """In the background: one that is no candidate. What becomes of its requests is written down nowhere."""
        self.ending.end(release, 0)

    async def end(self, result: Result, why: str) -> Candidate | None:
        """Ends it, whatever its state is, and waits for that. Returns it; None if there is none.

        Raises sqlite3.Error; then it runs on.
        """
        candidate = self._store.candidate()
        if candidate:
            self._attempts.end_candidate(candidate, result, why)
            log.info("the candidate %s is ended: %s", describe(candidate.version), why)
        self._stop()
        await self.ending.gone()
        return candidate

    async def make_room(self, attempt: RunningAttempt) -> None:
        """For an attempt that needs its slot: it is ended, and that is said. Raises sqlite3.Error."""
        if candidate := self.record:
            version = describe(candidate.version)
            was = "was held and never live"
            if candidate.state == "failed":
                was = "had failed"
            elif candidate.share:
                was = f"had {candidate.percent:g}% of the visitors and was never live"
            attempt.warn(f"ends the candidate {version}, which {was}")
        await self.end("cancelled", f"ended for {attempt.record.kind} {attempt.record.id}")

    def wanted(self) -> Mapping[Version, TakesOver]:
        """What the recovery takes over, if it still runs. Raises sqlite3.Error."""
        candidate = self._store.candidate()
        if not candidate or not (candidate.waits or candidate.runs_on):
            return {}
        held = candidate

        async def take_over(release: Release) -> None:
            self._keep(release, held)
            if self._store.candidate() == held:
                await self._offer(held)
            else:
                self._stop()

        return {held.version: take_over}

    async def settle(self) -> None:
        """After the recovery: one that was not taken over has failed. Raises nothing."""
        with going_on("cannot tell what became of the held candidate"):
            candidate = self._store.candidate()
            watched = candidate is not None and candidate.state == "watched"
            if not self.release and not watched:
                await self.ending.withdraw()
                candidate = self._store.candidate()
            if candidate and candidate.waits and not self.release:
                self._failed(candidate, "it did not run any more when the daemon started")

    def let_go(self) -> None:
        """Leaves it running, for the next daemon."""
        self._unwatch()

    async def stop(self) -> None:
        """When the daemon ends. One that has failed stays to be aborted. Raises nothing."""
        with going_on("cannot write down that the held candidate is ended"):
            candidate = self._store.candidate()
            if candidate and candidate.waits:
                self._attempts.end_candidate(candidate, "interrupted", "the daemon stopped while it was held")
        self._stop()
        await self.ending.gone()

    def in_tree(self, tree: int) -> list[str]:
        """In words."""
        held = self.release
        return [f"the held candidate {describe(held.version)}"] if held and held.version.tree == tree else []

    def _keep(self, release: Release, candidate: Candidate) -> None:
        self.release = release
        self._deployed_by = candidate.attempt
        self._watch.start(release, candidate, self._failed, partial(self.end, "cancelled"))
        with going_on("cannot watch how the candidate does"):
            self.share_watch.start(candidate, self._store.state().live, self._worse)

    def _unwatch(self) -> None:
        self._watch.stop()
        self.share_watch.stop()

    async def _worse(self, candidate: Candidate, verdict: Verdict) -> None:
        """Than the live version, which gets all visitors back."""
        what = f"it was taken back, as it is worse than the live version: {verdict.why}"
        shown = f"`slot-machine logs --slot {candidate.version.slot} --since {candidate.since}` shows what it printed"
        why, release = f"{what}; {shown}", self.release
        if candidate.version.config.watch_action != "hold" or not release:
            self._failed(candidate, why, verdict)
            return
        failed = msgspec.structs.replace(candidate.failed(why, verdict), runs_on=True)
        self._end_failed(failed)
        self._unwatch()
        await self.keep_failed(release, failed)

    def _failed(self, candidate: Candidate, why: str, verdict: Verdict | None = None) -> None:
        failed = candidate.failed(why, verdict or candidate.verdict)
        self._end_failed(failed, Phase.WATCH if candidate.share else Phase.HELD)
        self._stop()

    def _end_failed(self, failed: Candidate, stage: Phase = Phase.WATCH) -> None:
        log.error("the candidate %s has failed: %s", describe(failed.version), failed.error)
        verdict = f"worse: {failed.verdict.why}" if failed.verdict else ""
        with going_on("cannot write down that the held candidate has failed"):
            self._attempts.end_candidate(failed, "failed", failed.error, stage, verdict)

    def _stop(self) -> None:
        """In a task of its own, which goes on if the caller is cancelled."""
        self._unwatch()
        if release := self.release:
            self.release = None
            self.ending.end(release, self._deployed_by)

    async def _offer(self, candidate: Candidate) -> None:
        """Lets it get the requests that it has a claim to. It is held without them if that fails."""
        if (release := self.release) and release.upstream:
            with going_on(f"cannot tell the data plane of the candidate {describe(candidate.version)}"):
                await self._traffic.offer(candidate.beside(release.upstream))
