"""Restarts runs that take more memory than `memory_max_mb`: the web run beside itself, any other one as at a switch."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from slot_machine.app.clock import monotonic_s
from slot_machine.app.failures import log_failure
from slot_machine.app.run import Run
from slot_machine.app.supervisor import Supervisor
from slot_machine.core.backoff import RESET_AFTER_S, next_gap_s
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.errors import Busy, Stopping
from slot_machine.core.limits import MEGABYTE, Limits, limits_of
from slot_machine.core.model import WEB
from slot_machine.host.process.memory import memory_bytes

log = logging.getLogger(__name__)

MEMORY = "memory"
"""The trigger and the cause of such a restart, in the history."""

LOOK_INTERVAL_S = 2.0
OVER_S = 10.0
"""A run that takes too much for so long is restarted."""
AT_ONCE_S = RESET_AFTER_S
"""A run that was restarted and takes too much again so soon is not restarted a second time."""

Restart = Callable[[str], Awaitable[object]]
"""Starts the live release afresh beside itself, and tells what came of it. It gets the reason. Raises Busy."""
Measure = Callable[[Run, int], Awaitable[int]]


async def measured(run: Run, enough: int) -> int:
    return await asyncio.to_thread(memory_bytes, run.session.members(), enough)


@dataclass
class Pace:
    """The run of a name that is watched since `began_s`, and when the one before was restarted.

    `fresh`: it came of such a restart. `since_s`: it takes too much since then, 0 if it does not. `replaced`: the id of
    a run that is being restarted.
    """

    run_id: int = 0
    began_s: float = 0.0
    fresh: bool = False
    restarted_s: float = 0.0
    gap_s: float = 0.0
    since_s: float = 0.0
    replaced: int = 0


class MemoryWatch:
    """`given_up` says, by the names of runs, which are left alone although they take too much."""

    def __init__(
        self, config: DaemonConfig, supervisor: Supervisor, restart: Restart, measure: Measure = measured
    ) -> None:
        self.given_up: dict[str, str] = {}
        self._config = config
        self._supervisor = supervisor
        self._restart = restart
        self._measure = measure
        self._paces: dict[str, Pace] = {}

    async def keep(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - it is tried again
                log_failure("cannot look after the memory of the app", error)

    async def _look(self) -> None:
        release = self._supervisor.release
        for name, run in list(release.runs.items()) if release and self._supervisor.running else ():
            limits = limits_of(name, self._config, run.version.config)
            if limits.memory_max_mb and run.running:
                await self._look_at(run, limits)

    async def _look_at(self, run: Run, limits: Limits) -> None:
        pace = self._paces.setdefault(run.name, Pace())
        if pace.run_id != run.run_id:
            self.given_up.pop(run.name, None)
            fresh = pace.replaced == pace.run_id != 0
            self._paces[run.name] = pace = Pace(run.run_id, monotonic_s(), fresh, pace.restarted_s, pace.gap_s)
        taken = await self._measure(run, limits.memory_max_bytes)
        if taken <= limits.memory_max_bytes:
            pace.since_s = 0.0
            return
        pace.since_s = pace.since_s or monotonic_s()
        if monotonic_s() - pace.since_s < OVER_S:
            return
        why = f"it takes {taken // MEGABYTE} MB, above memory_max_mb ({limits.memory_max_mb})"
        if not await self._act(run, pace, why) and taken > limits.hard_bytes:
            await _kill(run, why)

    async def _act(self, run: Run, pace: Pace, why: str) -> bool:
        """Returns whether it is replaced, now or perhaps by the deploy that runs."""
        up_s = pace.since_s - pace.began_s
        if run.name in self.given_up:
            return False
        if pace.fresh and up_s < AT_ONCE_S:
            self.given_up[run.name] = words = f"{why}, {up_s:.0f} s after it was restarted for that"
            self._supervisor.tell(f"{run}: {words}; it is not restarted again: raise memory_max_mb, or find the leak")
        elif not pace.restarted_s or monotonic_s() - pace.restarted_s >= pace.gap_s:
            before = pace.restarted_s, pace.gap_s
            pace.replaced, pace.restarted_s, pace.gap_s = run.run_id, monotonic_s(), next_gap_s(pace.gap_s, up_s)
            try:
                await self._replace(run, why)
            except (Busy, Stopping):
                pace.replaced, (pace.restarted_s, pace.gap_s) = 0, before
            return True
        return False

    async def _replace(self, run: Run, why: str) -> None:
        """Raises Busy: the deploy that runs may replace it anyway."""
        if run.name == WEB:
            await self._restart(why)
        else:
            self._supervisor.renew(run.name, why)


async def _kill(run: Run, why: str) -> None:
    """As the kernel does it where there are control groups with limits. What ends is started again as after a crash."""
    run.killed_for = f"{why}, and more than twice that"
    log.error("killing %s: %s", run, run.killed_for)
    await run.session.kill()
