"""The notices that wait for one receiver: delivered one after another, tried again, never in anybody's way."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from slot_machine.app.clock import now
from slot_machine.app.failures import in_words
from slot_machine.core.notice import Notice

MOST_WAITING = 100
DELAYS_S = (1.0, 5.0, 25.0, 125.0, 600.0)
"""Before each further try."""

log = logging.getLogger(__name__)

Deliver = Callable[[Notice], Awaitable[None]]


class NotSent(Exception):
    """It did not arrive, so it can be tried again."""


class Receiver(msgspec.Struct):
    """For the status: `last` is when it took a notice, in RFC 3339; `error` says why it did not take the latest one."""

    target: str
    last: str = ""
    error: str = ""


class Outbox:
    """`deliver` raises NotSent, or any other Exception if another try would not help or might repeat a notice."""

    def __init__(self, target: str, deliver: Deliver, tasks: asyncio.TaskGroup) -> None:
        self.receiver = Receiver(target)
        self._deliver = deliver
        self._tasks = tasks
        self._waiting: deque[Notice] = deque()
        self._sending: asyncio.Task[None] | None = None

    def put(self, notice: Notice) -> None:
        """Raises nothing."""
        if len(self._waiting) >= MOST_WAITING:
            lost = self._waiting.popleft()
            log.error("%s takes no notices, so one of %s is lost", self.receiver.target, lost.event)
        self._waiting.append(notice)
        if not self._sending or self._sending.done():
            self._sending = self._tasks.create_task(self._send())

    async def deliver_now(self, notice: Notice) -> None:
        """One try. `receiver` says what came of it. Raises nothing."""
        await self._try(notice)

    async def end(self, limit_s: float) -> None:
        """Waits for what is under way, but not for longer than `limit_s`. Raises nothing."""
        if self._sending and not self._sending.done():
            await asyncio.wait([self._sending], timeout=limit_s)
            self._sending.cancel()
            await asyncio.wait([self._sending])
        if self._waiting:
            log.error("%d notices for %s are lost, as the daemon ends", len(self._waiting), self.receiver.target)

    async def _send(self) -> None:
        while self._waiting:
            notice = self._waiting[0]
            for delay_s in (*DELAYS_S, None):
                if await self._try(notice) or delay_s is None:
                    break
                await asyncio.sleep(delay_s)
            if self._waiting and self._waiting[0] is notice:
                self._waiting.popleft()

    async def _try(self, notice: Notice) -> bool:
        """Returns whether there is nothing more to try."""
        receiver = self.receiver
        try:
            await self._deliver(notice)
        except Exception as error:  # noqa: BLE001 - a notice is never in the way
            receiver.error = str(error) if isinstance(error, NotSent) else in_words(error)
            log.error("cannot tell %s of %s: %s", receiver.target, notice.event, receiver.error)
            return not isinstance(error, NotSent)
        receiver.last, receiver.error = now(), ""
        return True
