"""Looks for what the live app wrote into its own tree, each time after the supervisor has started it again."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from functools import partial

from slot_machine.app.attempts import Attempts
from slot_machine.app.failures import going_on
from slot_machine.app.release import describe
from slot_machine.app.slots import Slots
from slot_machine.core.model import Version

MOST_WARNINGS = 10
"""In the history, for each version that went live. An app may write another file before each of its crashes."""


@dataclass
class Inspection:
    _slots: Slots
    _attempts: Attempts
    _tasks: asyncio.TaskGroup
    _looking: "asyncio.Task[None] | None" = None
    _added: "deque[int]" = field(default_factory=lambda: deque(maxlen=MOST_WARNINGS))
    """The attempts that got the latest warnings."""

    def begin(self, version: Version, attempt_id: int) -> None:
        """Warns through the attempt that made the version live. No restart waits for that.

        Does nothing while an earlier look is under way.
        """
        if not self._looking or self._looking.done():
            self._looking = self._tasks.create_task(self._look(version, attempt_id))

    def cancel(self) -> None:
        if self._looking:
            self._looking.cancel()

    async def _look(self, version: Version, attempt_id: int) -> None:
        with going_on(f"cannot look for what {describe(version)} wrote into its tree"):
            await self._slots.started(partial(self._warn, attempt_id), version)

    def _warn(self, attempt_id: int, words: str) -> None:
        if self._added.count(attempt_id) < MOST_WARNINGS and self._attempts.warn_once(attempt_id, words):
            self._added.append(attempt_id)
