"""One deploy, rollback or recovery at a time: begun, cancelled, waited for, refused."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Coroutine
from typing import TypeVar

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.failures import in_words, log_failure
from slot_machine.core.errors import Busy, NothingToCancel, Overtaken, SlotMachineError, StageFailed, Stopping
from slot_machine.core.model import Attempt, short
from slot_machine.core.phases import HALF_MIGRATED, TABLE, Event, Phase

T = TypeVar("T")
F = TypeVar("F")

END_WATCH = "`slot-machine promote` ends the watch and keeps the new version, `slot-machine abort` goes back"


class Operations:
    """`running` is the attempt of the operation that runs, once it has begun one."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.running: RunningAttempt | None = None
        self._tasks = tasks
        self._task: asyncio.Task[object] | None = None
        self._refusal: type[Stopping] | None = None
        self._waiting: asyncio.Future[SlotMachineError] | None = None
        """Of the deploy that waits for its turn: why it is not to wait any more."""

    @property
    def ending(self) -> bool:
        """Whether no operation can begin any more."""
        return self._refusal is not None

    def check_free(self) -> None:
        """Raises Busy, Stopping."""
        self.check_open()
        if self.busy:
            hint = "wait for it, such as by `deploy --wait` or `git push -o wait`"
            if not self.running or Event.CANCEL in TABLE[self.running.phase]:
                hint += ", or end it with `slot-machine cancel`"
            if self.watches:
                hint = f"{END_WATCH}; `deploy --wait` waits"
            raise Busy(f"another deploy runs ({self.what_runs})", hint)

    def check_open(self) -> None:
        """Raises Stopping."""
        if self._refusal:
            raise self._refusal()

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def watches(self) -> bool:
        """Whether what runs has switched, and watches the new version."""
        return self.busy and self.running is not None and self.running.phase is Phase.WATCH

    @property
    def what_runs(self) -> str:
        """In words, while it is `busy`."""
        running = self.running.record if self.running else None
        if not running:
            return "deploy"
        who = f" by {running.who}" if running.who else ""
        what = f"{running.kind} of {short(running.commit) or '...'}{who}, stage {running.stage}"
        return f"{what}, since {running.started_at[11:19]} UTC"

    async def turn(self, left: "asyncio.Future[None]") -> None:
        """Waits until no operation runs, while the client that asked is there: `left` is done when it is not.

        One at a time waits: the latest, and the one before raises Overtaken. Call `begin` without an await after it.
        Raises Stopping, ConnectionError.
        """
        if self._waiting and not self._waiting.done():
            hint = "deploy once more if this is the version that is to be live"
            self._waiting.set_result(Overtaken("a newer deploy waits in the place of this one: not begun", hint))
        ended = self._waiting = asyncio.get_running_loop().create_future()
        try:
            while self.busy and not self._refusal:
                assert self._task
                await asyncio.wait({self._task, ended, left}, return_when=asyncio.FIRST_COMPLETED)
                if left.done():
                    raise ConnectionResetError("the client has left")
                if ended.done():
                    raise ended.result()
            if self._refusal:
                raise _not_begun(self._refusal)
        finally:
            if self._waiting is ended:
                self._waiting = None

    def begin(self, story: Coroutine[None, None, T]) -> "asyncio.Task[T | SlotMachineError]":
        """Call `check_free` before. The task returns the story's result, or the error that the story raised."""
        return self.begin_unanswered(_returning_errors(story))

    def begin_unanswered(self, story: Coroutine[None, None, T]) -> "asyncio.Task[T]":
        """For a story that raises nothing."""
        task = self._tasks.create_task(story)
        self._task = task
        return task

    async def found(self, finding: Awaitable[F]) -> F:
        """What is looked for before an attempt begins. Raises Stopping if the daemon stops meanwhile."""
        try:
            return await finding
        except asyncio.CancelledError:
            if self.ending:
                raise Stopping from None
            raise

    def refuse_more(self, refusal: type[Stopping]) -> None:
        """From here on, `check_free` and `cancel` raise `refusal`. What waits for its turn does not begin."""
        self._refusal = refusal
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(_not_begun(refusal))

    async def outcome(self) -> object:
        """Of the operation that runs. It goes on if the caller is cancelled."""
        assert self._task
        return await asyncio.shield(self._task)

    async def idle(self) -> None:
        """Waits for the end of the operation that runs now."""
        if self._task:
            await asyncio.wait([self._task])

    async def abandon(self) -> None:
        """Breaks off the operation that runs, unless it has switched already."""
        await begun()
        switched = self.running is not None and self.running.phase is Phase.DRAIN
        if self._task and not self._task.done() and not switched:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def cancel(self, *, force: bool = False, how: str = "cancelled") -> Attempt:
        """Breaks off the operation that runs, and returns its attempt when it has ended. `how` is what its error says.

        Breaks off a release command only with `force`, because that may leave the database half migrated.
        Raises NothingToCancel, Stopping.
        """
        await begun()
        self.check_open()
        task, attempt = self._task, self.running
        if not task or not attempt:
            hint = "`slot-machine abort` ends a candidate that is held"
            raise NothingToCancel("no deploy runs, so nothing was cancelled", hint)
        if not attempt.cancelled:
            _check_cancellable(attempt, force=force)
            # There is no await since that check, so the next stage can't begin before the cancellation.
            attempt.cancelled, attempt.cancelled_how = True, how
            task.cancel()
        await asyncio.wait([task])
        if attempt.phase is Phase.INTERRUPTED:
            raise Stopping
        if attempt.stays:
            raise NothingToCancel("the way back failed, so the new version stays live", "`slot-machine show` tells why")
        if attempt.phase is not Phase.CANCELLED:
            raise NothingToCancel(f"the {attempt.record.kind} ended before it could be cancelled: {attempt.phase}")
        return attempt.record


def _not_begun(refusal: type[Stopping]) -> Stopping:
    error = Stopping(f"{refusal()}; this deploy waited for its turn, and was not begun")
    error.hint = "deploy again when the daemon answers"
    return error


async def begun() -> None:
    """An operation that was begun in this iteration of the event loop begins its attempt now."""
    await asyncio.sleep(0)


def _check_cancellable(attempt: RunningAttempt, *, force: bool) -> None:
    """Raises NothingToCancel."""
    kind = attempt.record.kind
    if kind == "recovery" or Event.CANCEL not in TABLE[attempt.phase]:
        what = f"{kind} of {short(attempt.record.commit)}, stage {attempt.phase.stage}"
        raise NothingToCancel(f"too late to cancel ({what})", "wait until it has ended; `slot-machine status` tells")
    if attempt.phase is Phase.RELEASE and not force:
        raise NothingToCancel(
            f"release_command runs, and was not cancelled: {HALF_MIGRATED} after that",
            "wait until it has ended, or use `slot-machine cancel --force`",
        )


async def _returning_errors(story: Coroutine[None, None, T]) -> T | SlotMachineError:
    try:
        return await story
    except SlotMachineError as error:
        return error
    except sqlite3.Error as error:
        return StageFailed("", f"cannot write the database, so nothing was begun: {error}")
    except Exception as error:  # noqa: BLE001 - the daemon lives
        log_failure("a deploy failed", error)
        return StageFailed("", in_words(error))
