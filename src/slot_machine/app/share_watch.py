"""The watch of a candidate in the background, while some of the visitors get it."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf

from slot_machine.app.attempts import Attempts
from slot_machine.app.failures import going_on
from slot_machine.app.judging import Gather, Judging
from slot_machine.core.candidate import Candidate
from slot_machine.core.model import Version
from slot_machine.core.verdict import Verdict

OnWorse = Callable[[Candidate, Verdict], Awaitable[None]]


class ShareWatch:
    """`judging` is that of the candidate that is watched."""

    def __init__(self, gather: Gather, attempts: Attempts, tasks: asyncio.TaskGroup) -> None:
        self.judging: Judging | None = None
        self._gather = gather
        self._attempts = attempts
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None

    def start(self, candidate: Candidate, live: Version | None, on_worse: OnWorse) -> None:
        """Until `stop`, or until it is clearly worse than the live version, which is told once."""
        self.stop()
        if candidate.share and candidate.version.config.watch_ms and live:
            evidence = self._gather(candidate.version, live, True)
            self.judging = Judging(evidence, same_minutes=True, warn=partial(self._warn, candidate))
            self._task = self._tasks.create_task(self._watch(self.judging, candidate, on_worse))

    def stop(self) -> None:
        if self._task and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = self.judging = None

    async def _watch(self, judging: Judging, candidate: Candidate, on_worse: OnWorse) -> None:
        await judging.until_worse(inf)
        if candidate.version.config.watch_action != "warn":
            await on_worse(candidate, judging.verdict)
            return
        why = judging.verdict.why
        self._warn(candidate, f"the candidate is worse, and keeps its share (watch_action: warn): {why}")
        await judging.until_worse(inf, decides=False)

    def _warn(self, candidate: Candidate, words: str) -> None:
        with going_on(f"cannot write down that {words}"):
            self._attempts.warn(candidate.attempt, words)
