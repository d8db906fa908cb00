"""Starts runs of jobs on this machine, and adopts those of an earlier daemon."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slot_machine.app.run import Run
from slot_machine.app.seams import Starter
from slot_machine.core.model import Running, Version
from slot_machine.core.phases import Phase
from slot_machine.core.version_config import Job
from slot_machine.host.logs import SlotLog
from slot_machine.host.process.containment import owner
from slot_machine.host.process.session import Session
from slot_machine.state.history import UnderWay
from slot_machine.state.store import Store


@dataclass(frozen=True)
class JobMachine:
    _launcher: Starter
    _store: Store
    _data: Path

    def start(self, version: Version, folder: Path, name: str, job: Job) -> tuple[Run, SlotLog]:
        """Raises StageFailed, OSError, ValueError."""
        env = {**self._launcher.environment(version, Phase.START, {}), "SLOT_MACHINE_JOB": name}
        log = self._launcher.logs.open(version.slot, log_of(name))
        try:
            # The command is an argument of the shell, which has the rights of `user`.
            argv = ["/bin/sh", "-c", job.command]
            session = Session.start(argv, cwd=folder, env=env, output=log.fd, owner=owner(self._data))
        finally:
            log.close()
        self._launcher.logs.started(version.slot, log_of(name), version.commit, session.pid, log.begin)
        return self._run(name, version, session, log), log

    def adopt(self, name: str, run: UnderWay) -> tuple[Run, SlotLog]:
        """Raises OSError."""
        log = self._launcher.logs.open(run.version.slot, log_of(name), run.log_begin)
        log.close()
        return self._run(name, run.version, Session.adopt(run.identity), log), log

    def _run(self, name: str, version: Version, session: Session, log: SlotLog) -> Run:
        # No process of a version is called like that, because its name has no space.
        on_end = partial(self._launcher.logs.ended, version.slot, log_of(name))
        return Run(f"job {name}", 0, session, Running(version, 0), self._store, log.path, on_end=on_end)


def log_of(name: str) -> str:
    """Names the log of a job. No process is called like that, because its name has no dot."""
    return f"cron.{name}"
