"""`abort`: whatever is on its way to a held candidate, or held, or promoted and not proven yet, is ended."""

import sqlite3
from typing import NamedTuple

from slot_machine.app.candidates import Candidates
from slot_machine.app.operations import Operations, begun
from slot_machine.core.candidate import CandidateState
from slot_machine.core.errors import NothingHeld, NothingToCancel, StageFailed
from slot_machine.core.origin import Origin
from slot_machine.core.phases import Phase


class Aborted(NamedTuple):
    """`state` is what the candidate was. It is empty for a deploy that had none yet."""

    commit: str
    slot: str
    state: CandidateState | str


async def abort(operations: Operations, candidates: Candidates, origin: Origin) -> Aborted:
    """Returns when everything has ended. Raises NothingHeld, Stopping, StageFailed if it could not be written down."""
    await begun()
    while operations.running and operations.running.phase is Phase.SWITCH:
        # It can't be broken off, but what comes of it may be a watch or a share, which ends.
        await operations.running.past(Phase.SWITCH)
    operations.check_open()
    said = f": {origin.message}" if origin.message else ""
    aborted = f"aborted by {origin.who or 'somebody'}{said}"
    attempt, cancelled = operations.running, None
    watched = attempt is not None and attempt.fallback is not None
    if attempt and (attempt.holds or attempt.record.kind == "promote" or watched):
        if attempt.record.kind == "promote" and attempt.phase is Phase.DRAIN:
            raise NothingHeld("too late to abort: the candidate is live", "`slot-machine rollback` goes back")
        try:
            cancelled = await operations.cancel(how=aborted)
        except NothingToCancel:
            # It is being taken back, or a release command runs, which is not broken off.
            await operations.idle()
    try:
        ended = await candidates.end("cancelled", aborted)
    except sqlite3.Error as error:
        raise StageFailed(Phase.HELD, f"cannot write the database, so nothing was aborted: {error}") from None
    if ended:
        return Aborted(ended.version.commit, ended.version.slot, ended.state)
    if attempt and watched and attempt.is_back:
        return Aborted(attempt.record.commit, attempt.record.slot, "watched")
    if watched:
        raise StageFailed(Phase.WATCH, "the new version stays live", hint="`slot-machine show` tells why")
    if cancelled:
        return Aborted(cancelled.commit, cancelled.slot, "")
    if attempt and attempt.record.kind == "promote" and attempt.phase is Phase.SUCCEEDED:
        raise NothingHeld("too late to abort: the candidate is live", "`slot-machine rollback` goes back")
    hint = "`slot-machine cancel` ends the deploy that runs" if operations.busy else "`slot-machine status` tells"
    raise NothingHeld("no candidate is held, so there is nothing to abort", hint)
