"""Starts the jobs of the live version at their times."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path

import msgspec

from slot_machine.app.failures import going_on, in_words, log_failure
from slot_machine.app.job_run import JobRun
from slot_machine.app.job_runs import JobRuns
from slot_machine.app.release import describe
from slot_machine.app.supervisor import Supervisor
from slot_machine.core.model import Attempt, Result, Version, rfc3339
from slot_machine.core.timetable import MOST, Entry
from slot_machine.core.version_config import Job
from slot_machine.state.history import Followed
from slot_machine.state.store import Store

LOOK_S = 1.0
"""The clock is looked at again after this time at the latest: it may be set, and the machine may sleep."""

LOOKING = "cannot look after the jobs"

log = logging.getLogger(__name__)


class JobStatus(msgspec.Struct):
    """`next`, and `last` for the start of the last run, are RFC 3339 in UTC, or empty."""

    name: str
    schedule: str
    next: str
    last: str
    result: str
    overdue: bool
    """It was due more than a minute ago, and has not started yet."""


class Jobs:
    """Has the table of the version that is live. A switch holds its jobs up; they start right after it."""

    def __init__(
        self,
        runs: JobRuns,
        store: Store,
        folder: Callable[[Version], Path],
        supervisor: Supervisor,
        zone: tzinfo,
        now: Callable[[], datetime],
    ) -> None:
        """`folder` is where the commands of a version run. `now` is the time of the machine's clock in UTC."""
        self.runs = runs
        self._store = store
        self._folder = folder
        self._supervisor = supervisor
        self._zone = zone
        self._now = now
        self._version: Version | None = None
        self._table: dict[str, Entry] = {}
        self._complaints: dict[str, str] = {}
        self._keeping: asyncio.Task[None] | None = None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Before a tree is overwritten, because an earlier daemon may have left a run in it."""
        with self._told_once(LOOKING):
            self.runs.adopt()
        self._keeping = tasks.create_task(self._keep())

    async def stop(self) -> None:
        """Ends all runs. Raises nothing."""
        self._end()
        await self.runs.stop()

    async def let_go(self) -> None:
        """Leaves all runs to the next daemon. Raises nothing."""
        self._end()
        await self.runs.let_go()

    def _end(self) -> None:
        if self._keeping:
            self._keeping.cancel()

    async def _keep(self) -> None:
        """Runs until cancelled."""
        while True:
            with self._told_once(LOOKING):
                self._follow_live()
                self.runs.save_unsaved()
                self.runs.adopt()
            for name, entry in self._table.items():
                with self._told_once(f"cannot look after job {name}"):
                    self._look_at(name, entry)
            await asyncio.sleep(self._pause_s())

    def overview(self) -> list[JobStatus]:
        """Of the jobs of the live version."""
        with going_on("cannot tell which jobs the live version has"):
            self._follow_live()
        return [self._status(name, entry) for name, entry in self._table.items()]

    def _status(self, name: str, entry: Entry) -> JobStatus:
        last = self.runs.last(name)
        return JobStatus(
            name=name,
            schedule=entry.job.schedule,
            next=rfc3339(entry.next) if entry.next else "",
            last=last.started_at if last else "",
            result=last.result if last else "",
            overdue=entry.is_overdue(self._now()),
        )

    @contextmanager
    def _told_once(self, what: str) -> Iterator[None]:
        """Its block is tried again soon. An error is logged unless the last one was the same."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see above
            complaint = in_words(error)
            if self._complaints.get(what) != complaint:
                log_failure(what, error)
            self._complaints[what] = complaint
        else:
            self._complaints.pop(what, None)

    def _pause_s(self) -> float:
        now = self._now()
        left_s = [(entry.next - now).total_seconds() for entry in self._table.values() if entry.next]
        return min([LOOK_S, *(seconds for seconds in left_s if seconds > 0)])

    def _follow_live(self) -> None:
        """Takes the table of another version once that is live. Raises sqlite3.Error."""
        live = self._store.state().live
        if live == self._version:
            return
        known = self._store.followed()
        jobs = live.config.cron if live else {}
        self._table = {name: self._entry(name, job, known.get(name)) for name, job in jobs.items()}
        self._save_table()
        self._version = live

    def _entry(self, name: str, job: Job, known: Followed | None) -> Entry:
        """A job is not due at a time before it was known with this schedule."""
        entry = Entry(job, self._zone, self._now())
        if known and known.schedule == entry.followed:
            entry.handled(datetime.fromisoformat(known.handled_until))
            earlier = self._table.get(name)
            entry.waiting = earlier.waiting if earlier else None
        return entry

    def _save_table(self) -> None:
        rows = {name: Followed(entry.followed, rfc3339(entry.handled_until)) for name, entry in self._table.items()}
        self._store.save_followed(rows)

    def _look_at(self, name: str, entry: Entry) -> None:
        """Raises sqlite3.Error before anything is started."""
        now = self._now()
        missed = entry.look(now)
        if entry.is_overdue(now):
            self._tell_overdue(name, entry)
        if missed:
            self._miss(name, entry, missed, entry.missed_until(now))
        if not entry.waiting or not self._supervisor.watching or not self.runs.may_run(name):
            return
        if run := self.runs.under_way.get(name):
            self._miss_behind(run, name, entry, now)
        else:
            self._start(name, entry, now)

    def _start(self, name: str, entry: Entry, now: datetime) -> None:
        # From here on no restart of the daemon starts it again for this time.
        record = self._store.begin(self._record(name), rfc3339(now))
        entry.handled(now)
        version = self._version
        assert version
        log.info("job %s of %s starts", name, describe(version))
        self.runs.start(record, version, self._folder(version), entry.job)

    def _record(self, name: str, result: Result = "running", error: str = "") -> Attempt:
        version = self._version
        assert version
        return Attempt(
            id=0,
            kind="job",
            trigger="schedule",
            commit=version.commit,
            slot=version.slot,
            started_at=rfc3339(self._now()),
            result=result,
            error=error,
            job=name,
        )

    def _miss(self, name: str, entry: Entry, times: list[datetime], until: datetime) -> None:
        why = f"it was due {_in_words(times)}, while the daemon did not run or the machine slept"
        self._store.begin(self._record(name, "missed", why), rfc3339(until))
        entry.handled(until)
        log.warning("job %s did not run: %s", name, why)

    def _miss_behind(self, run: JobRun, name: str, entry: Entry, now: datetime) -> None:
        """Only the first one of these times gets an entry in the history."""
        assert entry.waiting
        why = f"it was due {_in_words([entry.waiting])}, while its run of {run.record.started_at} was under way"
        if not run.missed:
            self._store.begin(self._record(name, "missed", why), rfc3339(now))
            run.missed = True
            log.warning("job %s did not run: %s", name, why)
        entry.handled(now)
        self._save_table()

    def _tell_overdue(self, name: str, entry: Entry) -> None:
        if entry.told_overdue:
            return
        entry.told_overdue = True
        assert entry.waiting
        log.warning(
            "job %s is overdue: it was due %s, and no version could run it yet", name, _in_words([entry.waiting])
        )


def _in_words(times: list[datetime]) -> str:
    words = f"at {rfc3339(times[0])}"
    if len(times) > 1:
        more = len(times) - 1
        words += f" and {'at least ' if len(times) == MOST else ''}{more} more {'time' if more == 1 else 'times'}"
    return words
