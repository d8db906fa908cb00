"""What a daemon that was killed left running, and nobody takes over."""

import logging
from collections.abc import Sequence
from pathlib import Path

from slot_machine.core.config import Config
from slot_machine.host.process import containment
from slot_machine.host.process.session import Session
from slot_machine.state.store import Store
from slot_machine.traffic.handover import end_keeper
from slot_machine.traffic.worker import Left

log = logging.getLogger(__name__)


async def end(store: Store, config: Config, data: Path, left: Sequence[Left], *, proxy: bool) -> None:
    """The deployer sees to the app's releases, except for those that own the port which is the proxy's now."""
    if not proxy:
        await _end_workers(left)
    written_down = store.processes()
    known = {identity.mark for identity, _, _ in written_down} | {found.session.identity.mark for found in left}
    for pid in await containment.end_unknown(containment.owner(data), known):
        log.warning("killed process %d, left over from a daemon that was killed", pid)
    for identity, role, running in written_down:
        if running is None or (proxy and running.port == config.port):
            session = Session.adopt(identity)
            if session.members():
                log.warning("ending process %d (%s), left over from a daemon that was killed", identity.pid, role)
            await session.stop(config.drain_timeout_s if running else 0)
            store.remove_process(identity)
    if proxy:
        await end_keeper(data)


async def _end_workers(left: Sequence[Left]) -> None:
    """Of a daemon that had the proxy: this one has none."""
    for found in left:
        for listener in found.introduction.listeners.values():
            listener.close()
        await found.session.kill()
        found.path.unlink(missing_ok=True)
