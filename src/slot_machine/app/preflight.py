"""Before a deploy: is there room for another version?"""

import asyncio
import logging

from slot_machine.app.release import Release
from slot_machine.app.seams import Trees
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import TREES, Version
from slot_machine.core.phases import Phase
from slot_machine.host.files import capacity
from slot_machine.host.files.capacity import Size, megabytes
from slot_machine.host.process import proc
from slot_machine.state.store import Store

MARGIN = Size(bytes=16_000_000, inodes=200)
"""For logs, the database, and what the app writes when it runs; on top of a tenth of what the slot takes."""

MEASURED_AFTER_S = 1.0
"""Left to the app that has just begun, and to a deploy that follows at once."""

log = logging.getLogger(__name__)


class Preflight:
    """Knows what the trees took up when they had been prepared, so that no deploy waits for a count of their files."""

    def __init__(self, worktrees: Trees, store: Store, tasks: asyncio.TaskGroup) -> None:
        self._worktrees = worktrees
        self._store = store
        self._tasks = tasks
        self._due: set[int] = set()
        self._measuring: asyncio.Task[None] | None = None

    def check_disk(self, version: Version) -> None:
        """Raises StageFailed."""
        if lack := self.lack(version):
            data = self._worktrees.data
            raise StageFailed(
                Phase.CHECKOUT,
                f"no room for another version: {lack}; nothing was changed",
                hint=f"make room, then deploy again; `du -xsh {data}/*` shows what takes it",
            )

    def lack(self, version: Version) -> str:
        """What is missing for it in its tree; empty if nothing is. It is taken to be as large as the live one."""
        growth = self._growth(version.tree)
        free = capacity.free(self._worktrees.data)
        wanted = Size(_with_margin(growth.bytes, MARGIN.bytes), _with_margin(growth.inodes, MARGIN.inodes))
        amounts = None
        if free.bytes < wanted.bytes:
            amounts = [megabytes(amount.bytes) for amount in (growth, wanted, free)]
        elif free.inodes < wanted.inodes:
            amounts = [f"{amount.inodes} inodes" for amount in (growth, wanted, free)]
        if not amounts:
            return ""
        return (
            f"slot {version.slot} may grow by {amounts[0]}, which takes {amounts[1]} with a margin, and {amounts[2]}"
            f" are free on the file system of {self._worktrees.data}"
        )

    def is_full(self) -> bool:
        """Whether there is less room than any deploy needs."""
        try:
            free = capacity.free(self._worktrees.data)
        except OSError:
            return False
        return free.bytes < MARGIN.bytes or free.inodes < MARGIN.inodes

    def memory_warning(self, live: Release) -> str:
        """Empty if a second copy of the app fits into memory."""
        pids, available = live.session.members(), capacity.available_memory()
        if sum(map(proc.resident_bytes, pids)) < available:
            return ""
        used = sum(map(capacity.proportional_bytes, pids))
        if used < available:
            return ""
        return f"the app takes {megabytes(used)} of memory, and {megabytes(available)} are left for a second one"

    def measure(self, tree: int) -> None:
        """In the background."""
        self._due.add(tree)
        self.cancel()
        self._measuring = self._tasks.create_task(self._measure_soon())

    def measure_unknown(self) -> None:
        """In the background: trees that an earlier daemon prepared and did not get to measure."""
        for tree in TREES:
            if self._store.contents(tree) and not self._store.size(tree):
                self.measure(tree)

    def cancel(self) -> None:
        if self._measuring:
            self._measuring.cancel()

    async def measure_again(self, tree: int) -> None:
        """What the room for it depends on: since it was measured, somebody may have removed files."""
        state = self._store.state()
        self._due |= {tree, *(version.tree for version in (state.live, state.previous) if version)}
        await self._measure_due()

    async def _measure_soon(self) -> None:
        await asyncio.sleep(MEASURED_AFTER_S)
        await self._measure_due()

    async def _measure_due(self) -> None:
        for tree in sorted(self._due):
            try:
                self._store.save_size(tree, await self._worktrees.measure(tree))
            except Exception as error:  # noqa: BLE001 - nothing depends on it
                log.error("cannot measure %s: %s", self._worktrees.path(tree), error)
            self._due.discard(tree)

    def _growth(self, tree: int) -> Size:
        """Beyond what the tree holds already. Nothing where nothing is known."""
        state = self._store.state()
        known = [self._store.size(version.tree) for version in (state.live, state.previous) if version]
        template = next(filter(None, known), Size(0, 0))
        held = self._store.size(tree) or Size(0, 0)
        return Size(max(template.bytes - held.bytes, 0), max(template.inodes - held.inodes, 0))


def _with_margin(growth: int, margin: int) -> int:
    return growth + growth // 10 + margin
