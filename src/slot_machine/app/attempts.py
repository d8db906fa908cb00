"""How every attempt begins and ends: its failure is undone, told, and written into the history."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from slot_machine.app.attempt import Report, RunningAttempt
from slot_machine.app.clock import now
from slot_machine.app.failures import going_on
from slot_machine.app.notices import Notices
from slot_machine.app.operations import Operations
from slot_machine.app.preflight import Preflight
from slot_machine.app.release import describe
from slot_machine.app.supervisor import Supervisor
from slot_machine.app.undo import Undo
from slot_machine.core.candidate import Candidate
from slot_machine.core.errors import Cancelled, Refused, SlotMachineError, StageFailed, Stopping
from slot_machine.core.masking import Masking
from slot_machine.core.model import Attempt, Kind, Result, Version, short
from slot_machine.core.origin import UNKNOWN, Origin
from slot_machine.core.phases import HALF_MIGRATED, Phase
from slot_machine.core.upstream import Counts
from slot_machine.state.history import KEPT_ATTEMPTS
from slot_machine.state.store import Store

ENDS: dict[Result, str] = {
    "running": "runs",
    "failed": "failed",
    "cancelled": "was cancelled",
    "interrupted": "was interrupted",
    "held": "was held",
    "shared": "got a share",
}

GO_LIVE: tuple[Kind, ...] = ("deploy", "rollback", "recovery", "promote")

BY_TRIGGER = {"schedule": "cron"}
"""Why something is started again, if not because somebody asked for it."""

log = logging.getLogger(__name__)


@dataclass
class Attempts:
    _store: Store
    _operations: Operations
    _supervisor: Supervisor
    _preflight: Preflight
    _undo: Undo
    _masking: Masking
    _notices: Notices
    _unsaved: Attempt | None = None
    """An attempt that has ended and could not be saved, as on a full disk. It is saved before the next one begins."""

    @property
    def last(self) -> Attempt | None:
        """The one that runs, else the latest one that has ended. Runs of jobs do not count."""
        if running := self._operations.running:
            return running.record
        return self._unsaved or next(iter(self._store.attempts(1, jobs=False, crashes=False)), None)

    def runs(self, attempt_id: int) -> bool:
        running = self._operations.running
        return running is not None and running.record.id == attempt_id

    def history(self, limit: int, jobs: bool | None) -> list[Attempt]:
        """The latest first; `jobs`: only those of jobs, or only others."""
        return self._store.attempts(limit, jobs=jobs)

    def find(self, attempt_id: int) -> Attempt | None:
        return self._store.attempt(attempt_id)

    def output(self, attempt_id: int) -> dict[str, str]:
        """What its commands printed, by stage."""
        return self._store.output(attempt_id)

    def released_since(self, version: Version) -> list[str]:
        """The release commands that ran since the version was last deployed, in words; the latest first."""
        found: list[str] = []
        for attempt in self._store.attempts(KEPT_ATTEMPTS, jobs=False, crashes=False):
            deployed = attempt.kind in ("deploy", "promote") and attempt.went_live
            if deployed and attempt.commit == version.commit:
                break
            if attempt.released:
                end = "" if attempt.went_live else f", which {ENDS[attempt.result]}"
                found.append(f"`{attempt.released}` of {short(attempt.commit)}{end}")
        return found

    @asynccontextmanager
    async def begin(
        self, kind: Kind, trigger: str, report: Report, origin: Origin = UNKNOWN
    ) -> AsyncIterator[RunningAttempt]:
        """When its block fails, the live version serves again, and a SlotMachineError is raised.

        Raises sqlite3.Error before anything has begun.
        """
        self._save_unsaved()
        who, message, ref = origin
        record = Attempt(id=0, kind=kind, trigger=trigger, started_at=now(), who=who, message=message, ref=ref)
        async with self._running(RunningAttempt(record, self._store, report, self._masking)) as attempt:
            yield attempt

    @asynccontextmanager
    async def reopen(self, candidate: Candidate) -> AsyncIterator[RunningAttempt]:
        """Goes on with the attempt whose version is watched, as `begin` does. Raises sqlite3.Error."""
        record = self.find(candidate.attempt)
        assert record
        attempt = RunningAttempt(record, self._store, lambda _: None, self._masking)
        attempt.reopen(candidate.version, candidate.since_s)
        async with self._running(attempt):
            yield attempt

    @asynccontextmanager
    async def _running(self, attempt: RunningAttempt) -> AsyncIterator[RunningAttempt]:
        self._operations.running = attempt
        self._supervisor.monitor.deploying = True
        error: SlotMachineError | None = None
        try:
            yield attempt
        except asyncio.CancelledError:
            error = self._cancelled(attempt)
        except Exception as cause:  # noqa: BLE001 - whatever it is, the live version must go on
            error = _translated(cause, attempt)
            error.hint = "; ".join(filter(None, (error.hint, attempt.hint)))
            self._masking.error(error)
        try:
            if error:
                await self._undo.undo(attempt, error)
            if error and attempt.stays and attempt.version:
                error.args = (f"{error}; that failed, so {describe(attempt.version)} stays live",)
        finally:
            self._operations.running = None
            self._supervisor.monitor.deploying = False
        self._end(attempt, str(error) if error else "")
        if error:
            error.warnings = attempt.warnings
            raise error

    def resolved(self, attempt: RunningAttempt) -> None:
        """Its version is known from here on."""
        self._notices.started(attempt.record)

    def warn(self, attempt_id: int, words: str) -> None:
        """What went wrong because of this attempt, which may have ended. Raises sqlite3.Error.

        0 stands for the attempt that made the live version live, which may have been under an earlier daemon.
        """
        attempt_id = attempt_id or self._of_live()
        running = self._operations.running
        if running and running.record.id == attempt_id:
            running.warn(words)
        else:
            words = self._masking.text(words)
            log.warning("%s", words)
            self._store.add_warning(attempt_id, words)

    def warn_once(self, attempt_id: int, words: str) -> bool:
        """Like `warn`, unless the attempt has this warning already. Returns whether it was added."""
        attempt_id = attempt_id or self._of_live()
        running = self._operations.running
        known = running.record if running and running.record.id == attempt_id else self.find(attempt_id)
        if known and words in known.warnings:
            return False
        self.warn(attempt_id, words)
        return True

    def end_candidate(
        self, candidate: Candidate, result: Result, why: str, stage: Phase = Phase.HELD, verdict: str = ""
    ) -> None:
        """If the deploy is `held`, it is over, and that is told. Raises sqlite3.Error."""
        if not self._store.end_candidate(candidate, result, self._masking.text(why), stage, verdict):
            return
        with going_on("cannot tell that nothing is held any more"):
            if record := self.find(candidate.attempt):
                self._notices.ended(record)

    def count(self, attempt_id: int, counts: Counts | None) -> None:
        """What became of the requests of a candidate that ended. Raises nothing."""
        with going_on("cannot write down what became of the requests of a candidate"):
            if counts and counts != Counts():
                self._store.count(attempt_id, counts)

    def _of_live(self) -> int:
        """0 if the history does not have it any more."""
        live = self._store.state().live
        for attempt in self._store.attempts(KEPT_ATTEMPTS, jobs=False, crashes=False) if live else ():
            if live and attempt.commit == live.commit and attempt.went_live and attempt.kind in GO_LIVE:
                return attempt.id
        return 0

    def _save_unsaved(self) -> None:
        """Raises sqlite3.Error."""
        if self._unsaved:
            self._store.save_attempt(self._unsaved)
            self._unsaved = None

    def _end(self, attempt: RunningAttempt, error: str) -> None:
        try:
            attempt.end(error)
        except Exception as failure:  # noqa: BLE001 - written before the next one begins
            log.error("cannot write the history: %s", failure)
            self._unsaved = attempt.record
        self._notices.ended(attempt.record)
        record = attempt.record
        if record.kind == "restart" and record.result == "succeeded":
            self._supervisor.outages.restarted(record.cause or BY_TRIGGER.get(record.trigger, "restart"))
        if attempt.version and Phase.CHECKOUT in attempt.record.stage_seconds and not self._operations.ending:
            self._preflight.measure(attempt.version.tree)

    def _cancelled(self, attempt: RunningAttempt) -> Cancelled | Stopping:
        """Returns Cancelled if somebody cancelled the attempt, Stopping if the daemon ends it because it stops."""
        consequence = f"; {HALF_MIGRATED}" if attempt.phase is Phase.RELEASE else ""
        if not attempt.cancelled or self._operations.ending:
            if attempt.phase is Phase.WATCH:
                return Stopping("the daemon stops, so the watch ended; the new version stays", attempt.record.stage)
            return Stopping(f"the daemon stops, so this was abandoned{consequence}", attempt.record.stage)
        task = asyncio.current_task()
        assert task
        task.uncancel()
        what_now = self._undo.what_now(attempt) + consequence
        return Cancelled(f"the {attempt.record.kind} was {attempt.cancelled_how}; {what_now}", attempt.record.stage)


def _translated(cause: Exception, attempt: RunningAttempt) -> SlotMachineError:
    """Returns an error that names the stage which `cause` ended."""
    if isinstance(cause, Refused | StageFailed):
        return cause
    stage = attempt.phase.stage
    if isinstance(cause, sqlite3.Error):
        return StageFailed(stage, f"cannot write the database: {cause}")
    if isinstance(cause, SlotMachineError | OSError):
        return StageFailed(stage, str(cause), hint=getattr(cause, "hint", ""))
    log.error("%s failed", stage, exc_info=cause)
    return StageFailed(stage, f"unexpected {type(cause).__name__}: {cause}", hint="see the daemon's output")
