"""One deploy, rollback or restart: its record, how it ends, and the way back if it does not succeed.

What it has begun is in the engine's own objects (`release`), so that another computer sees it, and can go on after this
one died.
"""

import time
from collections.abc import Callable, Generator
from contextlib import suppress

from slot_machine.core.errors import Busy, Cancelled, EngineFailed, NothingToRollBackTo, SlotMachineError
from slot_machine.core.masking import Masking
from slot_machine.core.model import short
from slot_machine.core.phases import Phase
from slot_machine.engines.engine import Engine, Steps
from slot_machine.engines.interrupts import Interrupts
from slot_machine.engines.present import Present
from slot_machine.engines.release import (
    NOTHING,
    Ended,
    Release,
    Result,
    now,
    numbered,
    previous,
    superfluous,
)
from slot_machine.engines.stages import Line, Lines, Stages

Attempted = Generator[Line, None, Line]
"""The progress, and at the end the reply."""

LONGEST_ERROR = 4096
"""In characters, in a record."""
TRIES = 3
PAUSE_S = 2.0
"""Between them. An engine may be out of reach for a moment, in the worst of all moments."""


class Attempt:
    """`touched`: something of it may be on the engine; `applied`: also in place of what was live."""

    def __init__(self, engine: Engine, stages: Stages, masking: Masking) -> None:
        self.stages = stages
        self.touched = False
        self.applied = False
        self._engine = engine
        self._masking = masking
        self._interrupts = Interrupts()
        self._begun: Release | None = None
        self._is_kept = False
        """Whether the engine surely has the record: its client may be interrupted while it is made."""
        self._good: Release | None = None
        self._over = False

    def begin(self, release: Release, present: Present) -> None:
        """Raises Busy if somebody else was first."""
        self._begun, self._good = release, present.good
        try:
            self._engine.begin(release)
        except Busy:
            self._begun = None
            raise
        self._is_kept = True

    def check(self) -> bool:
        """Whether its end is open. Raises Cancelled if somebody else has ended it, or has begun another one.

        Who cancels it when it is whole ends it as succeeded.
        """
        assert self._begun
        releases = self._engine.releases()
        mine = numbered(releases, self._begun.number)
        if not mine or releases[0].number != mine.number or (mine.ended and mine.ended.result != "succeeded"):
            raise Cancelled("somebody else has cancelled it", self.stages.stage)
        return not mine.ended

    def succeed(self) -> None:
        """From here on, it is not taken back. Raises Cancelled, as `check` does."""
        assert self._begun
        is_open = self.check()
        self._interrupts.disarm()
        self._over = True
        try:
            if is_open:
                self._end("succeeded")
        except SlotMachineError as error:
            self.stages.warn(f"its end is not in the history: {error}")

    def run(self, kind: str, commit: str, lines: Attempted) -> Lines:
        """The progress, and then the reply, also that of a failure, which is after all was taken back."""
        return self._interrupts.through(self._to_its_end(kind, commit, lines))

    def _to_its_end(self, kind: str, commit: str, lines: Attempted) -> Lines:
        try:
            yield from self._told(kind, commit, lines)
        finally:
            if not self._over:
                self._abandon()

    def _told(self, kind: str, commit: str, lines: Attempted) -> Lines:
        failure: SlotMachineError | KeyboardInterrupt | None = None
        reply: Line = {}
        try:
            try:
                reply = yield from lines
            except (SlotMachineError, KeyboardInterrupt) as error:
                failure = error
            self._interrupts.disarm()
        except KeyboardInterrupt as error:  # Right after the failure.
            failure = failure or error
        if failure:
            reply = {"kind": kind, "commit": commit}
            reply |= yield from self._failed(failure)
        self._over = True
        yield reply | {"warnings": self.stages.warnings}

    def _failed(self, failure: SlotMachineError | KeyboardInterrupt) -> Attempted:
        """A refusal has begun nothing."""
        error = failure if isinstance(failure, SlotMachineError) else SlotMachineError("interrupted")
        stage, what, hint = error.stage or self.stages.stage, str(error), error.hint
        stopped = failure is not error or isinstance(error, Cancelled)
        try:
            yield from self._back()
        except SlotMachineError as worse:
            what = f"{what}\nand what was live before is not back: {worse}"
            hint = _remedy(self._good)
        what, output = self._masking.text(what), [*map(self._masking.text, error.output)]
        with suppress(SlotMachineError):
            self._end("cancelled" if stopped else "failed", stage, what)
        return {
            "success": False,
            "stage": stage if self._begun else error.stage,
            "error": "\n".join([what, *output]),
            "output": output,
            "hint": self._masking.text(hint),
            "interrupted": failure is not error,
        } | ({"commit": self._begun.commit} if self._begun else {})

    def _abandon(self) -> None:
        """Nobody follows it any more, or slot-machine itself has failed."""
        self._interrupts.disarm()
        self._over = True
        with suppress(SlotMachineError):
            for _ in self._back():
                pass
        with suppress(SlotMachineError):
            self._end("cancelled", self.stages.stage)

    def _back(self) -> Lines:
        """Makes all processes those of the release before. Raises SlotMachineError."""
        begun = self._begun
        if not begun or not self.touched or self._is_overtaken(begun):
            return
        if begun.before == NOTHING:
            yield from self.stages.run(Phase.RESTORE, f"remove {short(begun.commit)}", self._removed(begun))
        elif self._good:
            yield from self.restored(self._good, applied=self.applied)
        elif self.applied:
            raise EngineFailed("no record tells what it was", "")
        self.touched = self.applied = False

    def restored(self, good: Release, *, applied: bool = True) -> Lines:
        if applied:
            yield from self.stages.run(Phase.RESTORE, f"go back to {short(good.commit)}", self._reapplied(good))
        with suppress(EngineFailed):
            self.tidy(good)

    def _reapplied(self, good: Release) -> Steps:
        _tried(lambda: self._engine.apply(good))
        return (yield from self._engine.wait(good))

    def _removed(self, begun: Release) -> Steps:
        yield from ()
        _tried(lambda: self._engine.remove(begun.app))
        return "nothing was live before"

    def _is_overtaken(self, begun: Release) -> bool:
        """Whether somebody else has begun another release, because this one took too long or was cancelled."""
        try:
            releases = self._engine.releases()
        except EngineFailed:
            return False
        return bool(releases) and releases[0].number > begun.number

    def _end(self, result: Result, stage: str = "", error: str = "") -> None:
        """Raises EngineFailed. A release without an end counts as interrupted once its time has passed."""
        begun = self._begun
        if not begun or not (self._is_kept or numbered(self._engine.releases(), begun.number) == begun):
            return
        ended = Ended(result=result, ended_at=now(), stage=stage, error=error[:LONGEST_ERROR])
        with suppress(Busy):
            _tried(lambda: self._engine.end(begun, ended))

    def tidy(self, live: Release) -> None:
        """Raises EngineFailed."""
        releases = self._engine.releases()
        keep = [live]
        with suppress(NothingToRollBackTo):
            keep.append(previous(releases, live))
        self._engine.tidy(live, keep)
        self._engine.forget(superfluous(releases, keep))


def _remedy(good: Release | None) -> str:
    again = f"; `slot-machine rollback {good.target}` tries again" if good else ""
    return f"`slot-machine status` shows what runs{again}"


def _tried(work: Callable[[], None]) -> None:
    """A few times. Raises EngineFailed."""
    for left in reversed(range(TRIES)):
        try:
            work()
        except EngineFailed:
            if not left:
                raise
            time.sleep(PAUSE_S)
        else:
            return
