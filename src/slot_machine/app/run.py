"""A run: one process of a release, with all that it started."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from slot_machine.app.failures import going_on
from slot_machine.core.model import Retiring, Running, short
from slot_machine.core.side_runs import parts
from slot_machine.host.network.listeners import Listeners
from slot_machine.host.process.exits import describe_exit
from slot_machine.host.process.proc import Identity
from slot_machine.state.store import Store

STOP_TRIES = 3
STOP_RETRY_S = 0.5

log = logging.getLogger(__name__)


class Processes(Protocol):
    """The processes of a run, as `host.process.session.Session` has them."""

    identity: Identity
    pid: int
    survivors: list[str]

    @property
    def exit_code(self) -> int | None: ...

    async def exited(self) -> int: ...

    def members(self) -> list[int]: ...

    def oom_kills(self) -> int: ...

    def ask(self, signum: signal.Signals, /) -> None: ...

    async def stop(self, grace_s: float, /) -> bool: ...

    async def end_within(self, grace_s: float, /) -> bool: ...

    async def kill(self) -> None: ...

    def reap(self) -> None: ...


class Run:
    """`name` is unique in its release. `log` is the file that the run writes its output to, and
    `last_lines` reads it; raises OSError. `on_end` is told once how the run has ended.

    `upstream` is set once it is healthy, and only for a run that visitors reach. `killed_for` says why the daemon has
    killed it, although it is to be started again.
    """

    def __init__(
        self,
        name: str,
        release_id: int,
        session: Processes,
        what: Running,
        store: Store,
        log: Path,
        listeners: Listeners | None = None,
        last_lines: Callable[[], tuple[str, ...]] = tuple,
        on_end: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.release_id = release_id
        self.session = session
        self.version = what.version
        self.run_id = what.run_id
        self.port = what.port
        self.internal_port = what.internal_port
        self.upstream = what.upstream
        self.process = what.version.config.workers.get(parts(name)[0])
        self.retiring = what.retiring
        self.env_digest = what.env_digest
        self.log = log
        self.last_lines = last_lines
        self.listeners = listeners or Listeners(session)
        self.started_s = time.monotonic()
        self.killed_for = ""
        self._store = store
        self._on_end = on_end

    def __str__(self) -> str:
        return f"{self.name} of {short(self.version.commit)} in slot {self.version.slot}"

    @property
    def running(self) -> bool:
        return self.session.exit_code is None

    def how_ended(self, code: int) -> str:
        """In words. `code` is the exit code of its leader. To be asked before it is stopped."""
        how, kills = describe_exit(code), self.session.oom_kills()
        if self.killed_for:
            how += f": {self.killed_for}"
        if kills:
            how += f"; the kernel killed {kills} of its processes, as the run took twice memory_max_mb"
        return how

    def save(self) -> None:
        """The next daemon finds the run by this. Raises sqlite3.Error."""
        what = Running(
            self.version, self.run_id, self.port, self.internal_port, self.upstream, self.retiring, self.env_digest
        )
        self._store.save_process(self.session.identity, "app", self.release_id, self.name, what)

    def retire(self, retiring: Retiring) -> None:
        """Saves how far its end has come. Raises nothing: without the row, the next daemon begins its end anew."""
        self.retiring = retiring
        with going_on(f"cannot write down that {self} is to end"):
            self.save()

    def ask(self, name: str) -> None:
        """Sends the signal of this name to its main process. Raises nothing."""
        with going_on(f"cannot send SIG{name} to {self}"):
            self.session.ask(signal.Signals[f"SIG{name}"])

    async def stop(self, grace_s: float) -> bool:
        """Ends every process of it: SIGTERM, then SIGKILL after `grace_s`. Returns whether that took a SIGKILL.

        Any failure is logged and tried again: a release that is replaced must not cost the one that replaces it.
        """
        try:
            return await self._ended(lambda: self.session.stop(grace_s))
        except asyncio.CancelledError:
            await self._ended(self._killed)
            raise
        finally:
            self._over()

    async def end_within(self, grace_s: float) -> bool:
        """Like `stop`, for a run that has its stop signal. If this is cancelled, the run goes on to its end."""
        now = asyncio.get_running_loop().time
        ends_s, killed = now() + grace_s, None
        while killed is None and now() < ends_s:
            try:
                killed = await self.session.end_within(ends_s - now())
            except Exception as error:  # noqa: BLE001 - see `stop`
                log.error("cannot watch the end of %s, trying again: %s", self, error)
                await asyncio.sleep(STOP_RETRY_S)
        if killed is None:
            killed = await self._ended(self._killed)
        self._over()
        return killed

    def _over(self) -> None:
        self._store.remove_process(self.session.identity)
        code, on_end = self.session.exit_code, self._on_end
        self._on_end = lambda _: None
        on_end(describe_exit(code) if code is not None else "cannot be ended")

    async def _ended(self, end: Callable[[], Awaitable[bool]]) -> bool:
        for _ in range(STOP_TRIES):
            try:
                return await end()
            except Exception as error:  # noqa: BLE001 - see `stop`
                log.error("cannot end %s, trying again: %s", self, error)
            end = self._killed
            await asyncio.sleep(STOP_RETRY_S)
        self.session.reap()
        log.error("gave up ending %s: end session %d by hand", self, self.session.pid)
        return True

    async def _killed(self) -> bool:
        await self.session.kill()
        return True
