"""Side runs that were replaced, such as workers: each ends in its own time, and no deploy waits for that."""

import asyncio
import logging
from collections.abc import Callable, Iterable

import msgspec

from slot_machine.app.clock import monotonic_s
from slot_machine.app.run import Run
from slot_machine.core.model import Retiring
from slot_machine.core.side_runs import parts
from slot_machine.host.process.session import SURVIVES

log = logging.getLogger(__name__)


class Retirees:
    """Each gets its quiet signal when it retires, then its stop signal, and SIGKILL when its `stop_timeout_ms` is over.

    How far that has come is in the database, so that the next daemon goes on with it.
    """

    def __init__(self, tasks: asyncio.TaskGroup, warn: Callable[[int, str], None]) -> None:
        """`warn` gets an attempt's id, and what went wrong after it."""
        self._tasks = tasks
        self._warn = warn
        self._ending: dict[Run, asyncio.Task[None]] = {}
        self._hurried = asyncio.Event()

    @property
    def runs(self) -> list[Run]:
        """The first one that retired comes first."""
        return list(self._ending)

    def in_tree(self, tree: int) -> list[str]:
        """In words."""
        return [f"{run} (pid {run.session.pid}, told to end)" for run in self._in_tree(tree)]

    async def emptied(self, tree: int) -> None:
        """Waits until none is in the tree."""
        while runs := self._in_tree(tree):
            await self.gone(runs)

    def in_the_way_of(self, name: str) -> list[Run]:
        """Those of the process called `name`, and each singleton, because a new name does not make it another one."""
        ending = [(run, run.process) for run in self._ending]
        return [run for run, process in ending if parts(run.name)[0] == name or (process and process.singleton)]

    def begin(self, runs: Iterable[Run], attempt: int = 0, *, quiet: bool = True) -> None:
        """Signals them before it returns. Runs that an earlier daemon began to retire go on. Raises nothing.

        Without `quiet`, the stop signal comes at once.
        """
        for run in runs:
            if run.running and run.process and not run.retiring:
                self._signal(run, attempt, quiet=quiet)
            self._ending[run] = self._tasks.create_task(self._end(run))

    def hurry(self) -> None:
        """No quiet time any more: those without a stop signal get it."""
        self._hurried.set()

    async def gone(self, runs: Iterable[Run]) -> None:
        """Waits until these have ended, which their `stop_timeout_ms` limits."""
        if tasks := [self._ending[run] for run in runs if run in self._ending]:
            await asyncio.wait(tasks)

    async def all_gone(self) -> None:
        while self._ending:
            await self.gone(self.runs)

    def let_go(self) -> None:
        """Leaves them to the next daemon."""
        for task in self._ending.values():
            task.cancel()

    def _in_tree(self, tree: int) -> list[Run]:
        return [run for run in self._ending if run.version.tree == tree]

    def _signal(self, run: Run, attempt: int, *, quiet: bool) -> None:
        retiring = Retiring(monotonic_s(), attempt)
        if quiet and run.process and run.process.quiet_signal:
            run.ask(run.process.quiet_signal)
            run.retire(retiring)
        else:
            _tell(run, retiring)

    async def _end(self, run: Run) -> None:
        try:
            killed = await self._ended(run)
            if killed and run.process and run.retiring:
                timeout_s = run.process.stop_timeout_s
                words = f"{run} was killed, as it had not ended {timeout_s:g} s after SIG{run.process.stop_signal}"
                self._warn(run.retiring.attempt, f"{words}: its jobs may run again")
            else:
                log.info("%s has ended", run)
            if run.session.survivors and run.retiring:
                self._warn(run.retiring.attempt, f"cannot end {', '.join(run.session.survivors)}: {SURVIVES}")
        finally:
            del self._ending[run]

    async def _ended(self, run: Run) -> bool:
        """Returns whether that took a SIGKILL."""
        if not run.retiring or not run.process:
            return await run.stop(0) and False
        if not run.retiring.told_s:
            await self._quiet(run, run.retiring.since_s + run.version.config.drain_timeout_s - monotonic_s())
            _tell(run, run.retiring)
        return await run.end_within(run.retiring.told_s + run.process.stop_timeout_s - monotonic_s())

    async def _quiet(self, run: Run, left_s: float) -> None:
        """It has got its quiet signal. Waits for the end of the time in which visitors are drained."""
        sooner = [asyncio.ensure_future(run.session.exited()), asyncio.ensure_future(self._hurried.wait())]
        try:
            await asyncio.wait(sooner, timeout=max(left_s, 0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in sooner:
                waiting.cancel()
            await asyncio.gather(*sooner, return_exceptions=True)


def _tell(run: Run, retiring: Retiring) -> None:
    assert run.process
    run.ask(run.process.stop_signal)
    run.retire(msgspec.structs.replace(retiring, told_s=monotonic_s()))
