"""One run of a job, from its start or its adoption to its result."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from slot_machine.app.attempt import LONGEST_ERROR
from slot_machine.app.release import describe
from slot_machine.app.run import Run
from slot_machine.core.model import Attempt, Result, Version
from slot_machine.core.version_config import Job
from slot_machine.host.logs import SlotLog
from slot_machine.host.process.exits import UNKNOWN_EXIT, describe_exit
from slot_machine.state.history import UnderWay

STOP_GRACE_S = 60.0
"""From SIGTERM to SIGKILL when the daemon stops: as long as a process has by default."""

LATE_GRACE_S = 10.0
"""From SIGTERM to SIGKILL when the time of a run is up."""


class Machine(Protocol):
    """What runs of jobs need of the machine, as `job_machine.JobMachine` does it."""

    def start(self, version: Version, folder: Path, name: str, job: Job, /) -> tuple[Run, SlotLog]:
        """Raises SlotMachineError, OSError, ValueError."""

    def adopt(self, name: str, run: UnderWay, /) -> tuple[Run, SlotLog]:
        """A run that an earlier daemon started. It may have ended. Raises OSError."""


@dataclass
class JobRun:
    """`record` is its entry in the history. `missed`: the job was due again meanwhile."""

    record: Attempt
    run: Run
    log: SlotLog
    timeout_s: float
    began_s: float
    missed: bool = False

    def __str__(self) -> str:
        return f"job {self.record.job} of {describe(self.run.version)}"

    @property
    def seconds(self) -> float:
        return round(asyncio.get_running_loop().time() - self.began_s, 4)

    @property
    def left(self) -> UnderWay:
        """What the next daemon finds."""
        return UnderWay(self.run.session.identity, self.run.version, self.timeout_s, self.began_s, self.log.begin)

    async def over(self) -> Attempt:
        """Waits for its end until its time is up, and ends what is left of it. Returns its finished entry.

        If this is cancelled before its end, it runs on.
        """
        try:
            async with asyncio.timeout(max(self.timeout_s - self.seconds, 0)):
                code = await self.run.session.exited()
        except TimeoutError:
            seconds = self.seconds
            await self.run.stop(LATE_GRACE_S)
            why = f"it did not end within {self.timeout_s:g} s, so it was ended; raise timeout_ms if it needs more time"
            return self._finished("failed", why, seconds)
        seconds = self.seconds
        await self.run.stop(0)
        if code == UNKNOWN_EXIT:
            return self._finished("interrupted", describe_exit(code), seconds)
        return self._finished("failed" if code else "succeeded", describe_exit(code) if code else "", seconds)

    async def stop(self) -> Attempt:
        """Gives it time to end, because the daemon stops. Returns its finished entry."""
        await self.run.stop(STOP_GRACE_S)
        return self._finished("interrupted", "the daemon was stopped", self.seconds)

    def _finished(self, result: Result, error: str, seconds: float) -> Attempt:
        """With the last lines of its output, if it failed."""
        lines = [f"  | {line}" for line in _tail(self.log)] if result == "failed" else []
        while len("\n".join([error, *lines])) > LONGEST_ERROR and lines:
            del lines[0]
        return msgspec.structs.replace(self.record, result=result, error="\n".join([error, *lines]), seconds=seconds)


def _tail(log: SlotLog) -> tuple[str, ...]:
    try:
        return log.tail()
    except OSError:
        return ()  # Somebody removed the file.
