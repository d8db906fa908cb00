"""The runs of jobs that are under way: one of each job at a time, each in the tree of the version that it is of."""

import asyncio
import logging
import sqlite3
from collections import Counter
from pathlib import Path

import msgspec

from slot_machine.app.failures import going_on, in_words, log_failure
from slot_machine.app.job_run import JobRun, Machine
from slot_machine.app.notices import NOBODY, Notices
from slot_machine.core.masking import NOTHING_HIDDEN, Masking
from slot_machine.core.model import Attempt, Result, Version, short
from slot_machine.core.version_config import Job
from slot_machine.state.history import UnderWay
from slot_machine.state.store import Store

RETRY_S = 1.0

log = logging.getLogger(__name__)


class JobRuns:
    """`under_way` is by the name of the job. `finished` counts since the daemon began, by job and result."""

    def __init__(
        self,
        machine: Machine,
        store: Store,
        tasks: asyncio.TaskGroup,
        masking: Masking = NOTHING_HIDDEN,
        notices: Notices = NOBODY,
    ) -> None:
        self._notices = notices
        self.under_way: dict[str, JobRun] = {}
        self.finished: Counter[tuple[str, Result]] = Counter()
        self._machine = machine
        self._store = store
        self._tasks = tasks
        self._masking = masking
        self._following: set[asyncio.Task[None]] = set()
        self._last: dict[str, Attempt] = {}
        self._unsaved: list[Attempt] = []
        self._left: dict[str, tuple[Attempt, UnderWay]] | None = None
        """What is to be adopted; None until that is known."""

    def adopt(self) -> None:
        """Those that an earlier daemon left. Raises sqlite3.Error, OSError; call it again then."""
        if self._left is None:
            self._left = {record.job: (record, left) for record, left in self._store.runs_under_way()}
        failure = None
        for name, (record, left) in list(self._left.items()):
            try:
                run, output = self._machine.adopt(name, left)
            except OSError as error:
                failure = error
                continue
            del self._left[name]
            began_s = left.began_s if run.running else asyncio.get_running_loop().time()
            self._follow(JobRun(record, run, output, left.timeout_s, began_s))
        if failure:
            raise failure

    def may_run(self, job: str) -> bool:
        """Whether no run can be there that was not adopted yet."""
        return self._left is not None and job not in self._left

    def start(self, record: Attempt, version: Version, folder: Path, job: Job) -> None:
        """Raises nothing. `record` is its entry in the history."""
        try:
            run, output = self._machine.start(version, folder, record.job, job)
        except Exception as error:  # noqa: BLE001 - whatever it is, the entry says so
            why = f"cannot start it: {in_words(error)}"
            self._over(msgspec.structs.replace(record, result="failed", error=why), "")
            return
        job_run = JobRun(record, run, output, job.timeout_s, asyncio.get_running_loop().time())
        with going_on(f"cannot write down that {job_run} runs"):
            self._store.save_under_way(record, job_run.left)
        self._follow(job_run)

    async def stop(self) -> None:
        """Ends all, each in its time. Raises nothing."""
        with going_on("cannot take over the jobs that an earlier daemon left"):
            self.adopt()
        await self.let_go()
        runs = list(self.under_way.values())
        for run, record in zip(runs, await asyncio.gather(*(run.stop() for run in runs)), strict=True):
            self._over(record, str(run.log.path))

    async def let_go(self) -> None:
        """Leaves them to the next daemon. Raises nothing."""
        tasks = set(self._following)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def in_tree(self, tree: int) -> list[str]:
        """In words."""
        left = [f"job {name}" for name, (_, left) in (self._left or {}).items() if left.version.tree == tree]
        return left + [str(run) for run in self.under_way.values() if run.run.version.tree == tree]

    def last(self, job: str) -> Attempt | None:
        """Its run that is under way, else the latest one. Raises sqlite3.Error."""
        if run := self.under_way.get(job):
            return run.record
        if job not in self._last and (found := self._store.last_run(job)):
            self._last[job] = found
        return self._last.get(job)

    def save_unsaved(self) -> None:
        """Raises sqlite3.Error."""
        while self._unsaved:
            self._store.save_attempt(self._unsaved[0])
            del self._unsaved[0]

    def _follow(self, run: JobRun) -> None:
        self.under_way[run.record.job] = run
        task = self._tasks.create_task(self._until_over(run))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _until_over(self, run: JobRun) -> None:
        while True:
            try:
                self._over(await run.over(), str(run.log.path))
                return
            except Exception as error:  # noqa: BLE001 - the run goes on
                log_failure(f"cannot follow {run}, trying again", error)
                await asyncio.sleep(RETRY_S)

    def _over(self, record: Attempt, output: str) -> None:
        """Raises nothing. `output` is the path of its log."""
        record.error = self._masking.text(record.error)
        self.under_way.pop(record.job, None)
        self._last[record.job] = record
        self.finished[record.job, record.result] += 1
        what = f"job {record.job} of {short(record.commit)} in slot {record.slot} {record.result}"
        if record.result == "succeeded":
            log.info("%s after %g s", what, record.seconds)
        else:
            where = f"; its output is in {output}" if output else ""
            log.error("%s: %s%s", what, record.error.partition("\n")[0], where)
        self._notices.ended(record)
        try:
            self._store.save_attempt(record)
        except sqlite3.Error as error:
            log.error("cannot write the history, trying again: %s", error)
            self._unsaved.append(record)
