"""Jobs of a machine in memory: its clock, which can be set, and runs that take as long as a test says."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slot_machine.app.app import Cron
from slot_machine.app.run import Run
from slot_machine.core.model import Running, Version
from slot_machine.core.version_config import Job
from slot_machine.host.logs import SlotLog, SlotLogs
from slot_machine.host.process.exits import UNKNOWN_EXIT
from slot_machine.state.history import UnderWay
from slot_machine.state.store import Store
from tests.fakes import Faults, Processes

NOON = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)


class WallClock:
    """What the machine takes for the time. It goes with the clock of the test, and can be set."""

    def __init__(self, now: datetime = NOON) -> None:
        self._began = now

    def __call__(self) -> datetime:
        return self._began + timedelta(seconds=asyncio.get_running_loop().time())

    def set(self, by: timedelta) -> None:
        self._began += by


class Begun(NamedTuple):
    """A run that was started. `commit` is a letter, `at` the time in UTC."""

    job: str
    commit: str
    tree: int
    at: str


class JobMachine:
    def __init__(self, data: Path, faults: Faults, clock: WallClock) -> None:
        self.begun: list[Begun] = []
        self.runs: list[Processes] = []
        self.folders: list[Path] = []
        self.failures: list[Exception] = []
        """Of the next starts."""
        self.not_adopted: set[str] = set()
        self.takes_s = 5.0
        self.code = 0
        self.prints = b""
        self.store: Store
        self._logs = SlotLogs(data, 0, 0)
        self._faults = faults
        self._clock = clock
        self._pids = itertools.count(5000)

    def cron(self, store: Store) -> Cron:
        self.store = store
        return Cron(self, ZoneInfo("Europe/Zurich"), self._clock)

    def start(self, version: Version, folder: Path, name: str, _: Job) -> tuple[Run, SlotLog]:
        self._faults.now("start job")
        if self.failures:
            raise self.failures.pop(0)
        self.begun.append(Begun(name, version.commit[:1], version.tree, f"{self._clock():%m-%d %H:%M:%S}"))
        self.folders.append(folder)
        processes = Processes(self._faults, next(self._pids))
        self.runs.append(processes)
        log = self._logs.open(version.slot, f"cron.{name}")
        log.write(self.prints)
        log.close()
        asyncio.get_running_loop().call_later(self.takes_s, lambda: processes.end(self.code))
        return self._run(name, version, processes, log), log

    def adopt(self, name: str, run: UnderWay) -> tuple[Run, SlotLog]:
        if name in self.not_adopted:
            raise OSError(24, "Too many open files")
        log = self._logs.open(run.version.slot, f"cron.{name}", run.log_begin)
        log.close()
        processes = next(found for found in self.runs if found.identity == run.identity)
        return self._run(name, run.version, processes, log), log

    def daemon_was_killed(self) -> None:
        """Nobody is told any more how the runs end that are under way."""
        self.code = UNKNOWN_EXIT

    def _run(self, name: str, version: Version, processes: Processes, log: SlotLog) -> Run:
        return Run(f"job {name}", 0, processes, Running(version, 0), self.store, log.path)
