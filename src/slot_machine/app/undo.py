"""What follows a failed or cancelled attempt: the version that was live before it serves again."""

import asyncio
import logging
import sqlite3
from dataclasses import dataclass

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.failures import log_failure
from slot_machine.app.preflight import Preflight
from slot_machine.app.release import describe
from slot_machine.app.slots import Slots
from slot_machine.app.supervisor import Supervisor
from slot_machine.core.errors import Cancelled, SlotMachineError, Stopping
from slot_machine.core.model import Version
from slot_machine.core.phases import Event, Phase
from slot_machine.state.store import Store

log = logging.getLogger(__name__)

RESTORING = (Phase.RESTORE, Phase.CANCELLING)


@dataclass(frozen=True)
class Undo:
    _store: Store
    _supervisor: Supervisor
    _slots: Slots
    _preflight: Preflight

    async def undo(self, attempt: RunningAttempt, error: SlotMachineError) -> None:
        """Brings the attempt to its last phase, whatever fails meanwhile."""
        try:
            await self._undo(attempt, error)
        except asyncio.CancelledError:
            attempt.on(Event.ABANDON)
        except Exception as failure:  # noqa: BLE001 - the history must know of its end
            log_failure("cannot bring back what was live", failure)
            await self._undo_without_state(attempt)

    def what_now(self, attempt: RunningAttempt) -> str:
        """What becomes of the version that was live, in words."""
        if attempt.fallback:
            return f"back to {describe(attempt.fallback.version)}"
        live = self._live()
        if not live:
            return "nothing was live before"
        return f"{describe(live)} {'stays live' if self._supervisor.running else 'is started again'}"

    async def _undo(self, attempt: RunningAttempt, error: SlotMachineError) -> None:
        if attempt.phase is Phase.DRAIN or isinstance(error, Stopping):
            attempt.on(Event.ABANDON)
            return
        event = Event.CANCEL if isinstance(error, Cancelled) else Event.FAIL
        if attempt.phase is Phase.IDLE and event is Event.FAIL:
            attempt.on(Event.REUSE)
        attempt.summarize(str(error))
        attempt.on(event, self.what_now(attempt))
        if attempt.phase in RESTORING:
            await self._restore(attempt)
            attempt.on(Event.RESTORED)

    async def _restore(self, attempt: RunningAttempt) -> None:
        """A recovery tries again by itself."""
        if attempt.fallback:
            await attempt.fallback.go()
        live = self._live()
        if live and attempt.record.kind != "recovery" and not self._supervisor.watching:
            await self._supervisor.resume(live)
        elif live:
            self._supervisor.resume_side_runs()
        if attempt.version and attempt.version != live and self._preflight.is_full():
            await self._slots.take_back(attempt, attempt.version.tree)

    async def _undo_without_state(self, attempt: RunningAttempt) -> None:
        """Takes the version that the supervisor watched last for the one that was live."""
        if attempt.phase not in (*RESTORING, Phase.FAILED, Phase.CANCELLED):
            attempt.on(Event.FAIL)
        if attempt.phase in RESTORING:
            release = self._supervisor.release
            if release and not self._supervisor.watching:
                await self._supervisor.resume(release.version)
            attempt.on(Event.RESTORED)

    def _live(self) -> Version | None:
        """If the database can't be read, the version that the supervisor watched last. Raises nothing."""
        try:
            return self._store.state().live
        except sqlite3.Error as error:
            log.error("cannot read the database: %s", error)
            release = self._supervisor.release
            return release.version if release else None
