"""The releases of candidates that are told to end: they get no requests any more, and are stopped in the background."""

import asyncio
import logging

from slot_machine.app.attempts import Attempts
from slot_machine.app.failures import going_on
from slot_machine.app.release import Release, describe
from slot_machine.app.retirement import retire
from slot_machine.traffic.protocol import Traffic

RETRY_S = 1.0
WITHDRAWALS = 3

log = logging.getLogger(__name__)


class EndingCandidates:
    def __init__(self, traffic: Traffic, attempts: Attempts, tasks: asyncio.TaskGroup) -> None:
        self._traffic = traffic
        self._attempts = attempts
        self._tasks = tasks
        self._ending: dict[Release, asyncio.Task[None]] = {}

    def end(self, release: Release, attempt: int) -> None:
        """In a task of its own. What becomes of its requests is counted for that attempt, unless it is 0."""
        self._ending[release] = self._tasks.create_task(self._stopped(release, attempt))

    async def gone(self) -> None:
        while self._ending:
            await asyncio.wait(list(self._ending.values()))

    def in_tree(self, tree: int) -> list[str]:
        """In words."""
        ending = [release.version for release in self._ending if release.version.tree == tree]
        return [f"the candidate {describe(version)}, told to end" for version in ending]

    async def emptied(self, _: int) -> None:
        await self.gone()

    async def withdraw(self) -> None:
        """Tells the data plane that there is no candidate. Raises nothing."""
        for _ in range(WITHDRAWALS):
            with going_on("cannot tell the data plane that there is no candidate any more"):
                await self._traffic.offer(None)
                return
            await asyncio.sleep(RETRY_S)

    async def _stopped(self, release: Release, attempt: int) -> None:
        try:
            await self.withdraw()
            with going_on(f"cannot end {describe(release.version)}"):
                if release.upstream and release.running:
                    retired = await retire(self._traffic, release, release.version.config.drain_timeout_s)
                    self._attempts.count(attempt, retired.counts)
                else:
                    await release.stop(release.version.config.drain_timeout_s / 2)
                    if release.upstream:
                        await self._traffic.forget(release.upstream)
            if survivors := release.survivors:
                log.error("cannot end %s", ", ".join(survivors))
        finally:
            del self._ending[release]
