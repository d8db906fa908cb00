"""Before a deploy: is there room for another version?"""

import asyncio
import logging
import sqlite3

from slot_machine.core.errors import StageFailed
from slot_machine.core.model import SLOTS, Slot, other
from slot_machine.core.phases import Phase
from slot_machine.host import capacity, proc
from slot_machine.host.capacity import Size, megabytes
from slot_machine.host.containment import owner
from slot_machine.host.store import Store
from slot_machine.host.worktrees import Worktrees
from slot_machine.release import Release

MARGIN = Size(bytes=16_000_000, inodes=200)
"""For logs, the database, and what the app writes when it runs; on top of a tenth of what the slot takes."""

MEASURED_AFTER_S = 1.0
"""Left to the app that has just begun, and to a deploy that follows at once."""

log = logging.getLogger(__name__)


class Preflight:
    """Knows what the slots took up when they had been prepared, so that no deploy waits for a count of their files."""

    def __init__(self, worktrees: Worktrees, store: Store, tasks: asyncio.TaskGroup) -> None:
        self._worktrees = worktrees
        self._store = store
        self._tasks = tasks
        self._due: set[Slot] = set()
        self._measuring: asyncio.Task[None] | None = None

    def check_disk(self, slot: Slot) -> None:
        """The next version is taken to be as large as the one in the other slot. Raises StageFailed."""
        growth = self._growth(slot)
        free = capacity.free(self._worktrees.data)
        wanted = Size(_with_margin(growth.bytes, MARGIN.bytes), _with_margin(growth.inodes, MARGIN.inodes))
        if free.bytes < wanted.bytes:
            self._refuse(slot, megabytes(growth.bytes), megabytes(wanted.bytes), megabytes(free.bytes))
        if free.inodes < wanted.inodes:
            self._refuse(slot, f"{growth.inodes} inodes", f"{wanted.inodes} inodes", f"{free.inodes} inodes")

    def memory_warning(self, live: Release) -> str:
        """Empty if a second copy of the app fits into memory."""
        pids, available = live.session.members(), capacity.available_memory()
        if sum(map(proc.resident_bytes, pids)) < available:
            return ""
        used = sum(map(capacity.proportional_bytes, pids))
        if used < available:
            return ""
        return f"the app takes {megabytes(used)} of memory, and {megabytes(available)} are left for a second one"

    def measure(self, slot: Slot) -> None:
        """In the background."""
        self._due.add(slot)
        self.cancel()
        self._measuring = self._tasks.create_task(self._measure_due())

    def measure_unknown(self) -> None:
        """In the background: slots that an earlier daemon prepared and did not get to measure."""
        for slot in SLOTS:
            if self._store.contents(slot) and not self._store.size(slot):
                self.measure(slot)

    def cancel(self) -> None:
        if self._measuring:
            self._measuring.cancel()

    async def _measure_due(self) -> None:
        await asyncio.sleep(MEASURED_AFTER_S)
        for slot in sorted(self._due):
            try:
                size = await capacity.measure(self._worktrees.path(slot), owner(self._worktrees.data))
                self._store.save_size(slot, size)
            except (OSError, sqlite3.Error) as error:
                log.error("cannot measure slot %s: %s", slot, error)
            self._due.discard(slot)

    def _growth(self, slot: Slot) -> Size:
        """Beyond what the slot holds already. Nothing where nothing is known."""
        template = self._store.size(other(slot)) or Size(0, 0)
        held = self._store.size(slot) or Size(0, 0)
        return Size(max(template.bytes - held.bytes, 0), max(template.inodes - held.inodes, 0))

    def _refuse(self, slot: Slot, growth: str, wanted: str, free: str) -> None:
        data = self._worktrees.data
        raise StageFailed(
            Phase.CHECKOUT,
            f"no room for another version: slot {slot} may grow by {growth}, which takes {wanted} with a margin, and"
            f" {free} are free on the file system of {data}; nothing was changed",
            hint=f"make room, then deploy again; `du -xsh {data}/*` shows what takes it",
        )


def _with_margin(growth: int, margin: int) -> int:
    return growth + growth // 10 + margin
