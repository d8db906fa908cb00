"""A version that runs: its processes, and how they are stopped."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from slot_machine.core.model import WEB, Running, Version, short
from slot_machine.host.network.listeners import Listeners
from slot_machine.host.process.proc import Identity
from slot_machine.state.store import Store

STOP_TRIES = 3
STOP_RETRY_S = 0.5

log = logging.getLogger(__name__)


class Processes(Protocol):
    """A run of the app, as `host.processes.Session` has it."""

    identity: Identity
    pid: int
    survivors: list[str]

    @property
    def exit_code(self) -> int | None: ...

    async def exited(self) -> int: ...

    def members(self) -> list[int]: ...

    async def stop(self, grace_s: float, /) -> bool: ...

    async def kill(self) -> None: ...

    def reap(self) -> None: ...


class Release:
    """One start of a version: its processes and where they listen. `upstream` is set once it is healthy.

    `run_id` is that of its upstream.
    """

    def __init__(self, session: Processes, what: Running, store: Store, listeners: Listeners | None = None) -> None:
        self.version = what.version
        self.session = session
        self.listeners = listeners or Listeners(session)
        self.run_id = what.run_id
        self.port = what.port
        self.internal_port = what.internal_port
        self.started_s = time.monotonic()
        self.upstream = what.upstream
        self._store = store

    @property
    def running(self) -> bool:
        return self.session.exit_code is None

    def save(self) -> None:
        """For a daemon that finds it when this one is gone."""
        what = Running(self.version, self.run_id, self.port, self.internal_port, self.upstream)
        self._store.save_process(self.session.identity, "app", self.run_id, WEB, what)

    async def stop(self, grace_s: float) -> bool:
        """Ends every process of it. Returns whether that took a SIGKILL.

        Whatever fails is tried again and logged: a version that is replaced must not cost the one that replaces it.
        """
        try:
            return await self._ended(lambda: self.session.stop(max(grace_s, 0)))
        except asyncio.CancelledError:
            await self._ended(self._killed)
            raise
        finally:
            self._store.remove_process(self.session.identity)

    async def _ended(self, end: Callable[[], Awaitable[bool]]) -> bool:
        for _ in range(STOP_TRIES):
            try:
                return await end()
            except Exception as error:  # noqa: BLE001 - see `stop`
                log.error("cannot end %s, trying again: %s", describe(self.version), error)
            end = self._killed
            await asyncio.sleep(STOP_RETRY_S)
        self.session.reap()
        log.error("gave up ending %s: end session %d by hand", describe(self.version), self.session.pid)
        return True

    async def _killed(self) -> bool:
        await self.session.kill()
        return True


def describe(version: Version) -> str:
    return f"{short(version.commit)} in slot {version.slot}"
