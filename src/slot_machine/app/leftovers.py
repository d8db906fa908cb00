"""Ends processes that a killed daemon left running and that nobody takes over."""

import logging
from collections.abc import Sequence
from pathlib import Path

from slot_machine.host.process import containment
from slot_machine.host.process.session import Session
from slot_machine.state.store import Store
from slot_machine.traffic.mode import Mode
from slot_machine.traffic.worker import Left

log = logging.getLogger(__name__)


async def end(store: Store, data: Path, left: Sequence[Left], mode: Mode) -> None:
    """Leaves releases of the app to the recovery, unless they prevent the traffic mode from opening."""
    written_down = store.processes()
    known = {recorded.identity.mark for recorded in written_down} | {found.session.identity.mark for found in left}
    # Jobs are adopted, or found to have ended.
    known |= {run.identity.mark for _, run in store.runs_under_way()}
    known |= {one_off.identity.mark for one_off in store.one_offs()}
    for pid in await containment.end_unknown(containment.owner(data), known):
        log.warning("killed process %d, left over from a daemon that was killed", pid)
    for identity, role, _, _, running in written_down:
        if running is None or mode.is_in_the_way(running.port):
            session = Session.adopt(identity)
            if session.members():
                log.warning("ending process %d (%s), left over from a daemon that was killed", identity.pid, role)
            await session.stop(running.version.config.drain_timeout_s if running else 0)
            store.remove_process(identity)
    await mode.end_other(left)
