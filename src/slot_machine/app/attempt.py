"""One deploy, rollback or recovery while it runs: its phase, its progress, its entry in the history."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from slot_machine.app.failures import going_on
from slot_machine.app.outcomes import Outcome
from slot_machine.core.kept_output import KeptOutput
from slot_machine.core.masking import NOTHING_HIDDEN, MaskedStream, Masking
from slot_machine.core.model import NOT_CONFIGURED, Attempt, Printed, Progress, Result, Version
from slot_machine.core.origin import UNKNOWN, Description, Origin
from slot_machine.core.phases import Event, Phase, after
from slot_machine.core.upstream import Counts
from slot_machine.state.store import Store

log = logging.getLogger(__name__)

RESULTS: dict[Phase, Result] = {
    Phase.SUCCEEDED: "succeeded",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "cancelled",
    Phase.INTERRUPTED: "interrupted",
    Phase.HELD: "held",
    Phase.SHARED: "shared",
}

LONGEST_ERROR = 4096
"""In the history, in characters."""

Report = Callable[[Progress | Printed], None]

Warn = Callable[[str], None]
"""Takes a warning for an attempt, which may have ended."""


class Fallback(Protocol):
    """What a failure after the switch goes back to: the version that was live before."""

    @property
    def version(self) -> Version: ...

    async def go(self) -> None:
        """Makes it live again. Raises what it could not do; then the new version stays live."""


class RunningAttempt:
    """Follows the table in `core.phases`. Each event ends a stage and begins the next one."""

    def __init__(self, record: Attempt, store: Store, report: Report, masking: Masking = NOTHING_HIDDEN) -> None:
        """`masking` hides values in all that it tells and keeps. A record with an id is in the history already."""
        record.message = masking.text(record.message)
        self.record = record if record.id else store.begin(record)
        self.phase = Phase.IDLE
        self.version: Version | None = None
        self.cancelled = False
        """Somebody has cancelled it, and it can no longer succeed."""
        self.cancelled_how = "cancelled"
        """For the error: `aborted by ada`."""
        self.holds = False
        """Its candidate is to be held, not to go live."""
        self.hint = ""
        """What to try if it fails."""
        self.fallback: Fallback | None = None
        """While its version is watched."""
        self.is_back = False
        """The version before it is live again."""
        self.stays = False
        """Its version was to be taken back, and that failed: it stays live."""
        self.early: asyncio.Future[Outcome] | None = None
        """For whoever asked for it, and does not wait for the end of a watch."""
        self._store = store
        self._next_phase = asyncio.Event()
        self._report = report
        self._began_s = self._stage_began_s = time.monotonic()
        self._summary = ""
        self._masking = masking
        self._printing = MaskedStream(masking)
        self._output = KeptOutput()
        self._unkept_output = False

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.record.warnings

    def reopen(self, version: Version, since_s: float) -> None:
        """An earlier daemon was killed in its watch, which began at `since_s` by the monotonic clock."""
        self.version, self.phase = version, Phase.WATCH
        self._stage_began_s = since_s
        self._began_s = since_s - sum(self.record.stage_seconds.values())
        for stage, text in self._store.output(self.record.id).items():
            self._output.add(stage, text.encode())

    def aim(self, version: Version) -> None:
        self.version = version
        self.record.commit, self.record.slot = version.commit, version.slot
        self.record.config = version.config if version.config != NOT_CONFIGURED else ""
        self._note()

    def describe(self, description: Description, origin: Origin = UNKNOWN) -> None:
        """What people know the commit by; the next `aim` saves it."""
        self.record.subject, self.record.author, _ = description
        self.record.ref = origin.ref

    def on(self, event: Event, message: str = "") -> None:
        """Goes to the next phase. `message` says what is done there. Raises IllegalTransition."""
        phase = after(self.phase, event)
        if self.phase is not Phase.IDLE:
            broken_off = event in (Event.FAIL, Event.CANCEL, Event.ABANDON) and phase is not Phase.SUCCEEDED
            self._close_stage("failed" if broken_off else "finished")
        self.phase = phase
        self._next_phase.set()
        self._next_phase = asyncio.Event()
        if phase in RESULTS:
            return
        self._stage_began_s = time.monotonic()
        if phase not in (Phase.RESTORE, Phase.CANCELLING):
            self.record.stage = phase.stage
            self._note()
        self._tell(Progress(event="started", stage=phase.stage, message=message))

    async def past(self, phase: Phase) -> None:
        """Returns when it is in another one."""
        while self.phase is phase:
            await self._next_phase.wait()

    def count(self, counts: Counts | None) -> None:
        """Adds to `record.requests`."""
        if counts:
            self.record.requests = counts + (self.record.requests or Counts())

    def summarize(self, message: str) -> None:
        """Sets what the client is told when the stage that runs ends."""
        self._summary = message

    def output(self, line: str) -> None:
        self._tell(Progress(event="output", stage=self.phase.stage, message=line, seconds=self._stage_seconds()))

    def printed(self, piece: bytes) -> None:
        """By the command of the stage. A line is told when it ends."""
        self._show(self._printing.feed(piece))

    def warn(self, message: str) -> None:
        """The client is told at once, and again in the reply's `warnings`."""
        message = self._masking.text(message)
        log.warning("%s %d: %s", self.record.kind, self.record.id, message)
        self.record.warnings += (message,)
        self.output(f"warning: {message}")

    def end(self, error: str = "") -> None:
        """Writes the attempt into the history; its phase says with which result. Raises sqlite3.Error."""
        self.record.result = RESULTS[self.phase]
        error = self._masking.text(error)
        self.record.error = error if len(error) <= LONGEST_ERROR else f"{error[:LONGEST_ERROR]} ..."
        self.record.seconds = round(time.monotonic() - self._began_s, 4)
        self._store.save_attempt(self.record)

    def _note(self) -> None:
        """Saves how far it has come, in case the daemon is killed. Raises nothing: no deploy fails because of it."""
        try:
            self._store.note(self.record)
        except Exception as error:  # noqa: BLE001 - see above
            log.error("cannot write the history: %s", error)

    def _show(self, output: bytes) -> None:
        if output:
            self._output.add(self.phase.stage, output)
            self._unkept_output = True
            self._report(Printed(output, self.phase.stage, self._stage_seconds()))

    def _close_stage(self, event: Literal["finished", "failed"]) -> None:
        self._show(self._printing.rest())
        self._keep_output()
        seconds = self._stage_seconds()
        stage = self.phase.stage
        self.record.stage_seconds[stage] = round(self.record.stage_seconds.get(stage, 0) + seconds, 4)
        self._tell(Progress(event=event, stage=stage, message=self._summary, seconds=round(seconds, 4)))
        self._summary = ""

    def _keep_output(self) -> None:
        if not self._unkept_output:
            return
        self._unkept_output = False
        with going_on("cannot keep the output in the history"):
            self._store.save_output(self.record.id, self._output.texts())

    def _stage_seconds(self) -> float:
        return time.monotonic() - self._stage_began_s

    def _tell(self, progress: Progress) -> None:
        progress = msgspec.structs.replace(progress, message=self._masking.text(progress.message))
        if progress.event != "output":
            text = f" {progress.message}" if progress.message else ""
            log.info("%s %d: %s %s%s", self.record.kind, self.record.id, progress.stage, progress.event, text)
        self._report(progress)
