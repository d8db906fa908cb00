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
"""Kept free for logs, the database, and what the app writes; on top of a tenth of what the tree takes."""

MEASURED_AFTER_S = 1.0
"""Measuring waits this long, so that it slows down neither an app that has just started nor the next deploy."""

log = logging.getLogger(__name__)


class Preflight:
    """Measures each tree in the background after its deploy, so that no deploy waits for a count of files."""

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
        """What room it lacks, in words; empty if there is enough. It is assumed to be as large as the live version."""
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
        """Empty if a second copy of the app fits into memory, which is assumed to be as large as the live one."""
        pids, available = live.members(), capacity.available_memory()
        if sum(map(proc.resident_bytes, pids)) < available:
            return ""
        used = sum(map(capacity.proportional_bytes, pids))
        if used < available:
            return ""
        return f"the app takes {megabytes(used)} of memory, and {megabytes(available)} are left for a second one"

    def memory_of(self, live: Release) -> str:
        """In words."""
        return megabytes(sum(map(capacity.proportional_bytes, live.members())))

    def measure(self, tree: int) -> None:
        """Later, in the background."""
        self._due.add(tree)
        self.cancel()
        self._measuring = self._tasks.create_task(self._measure_soon())

    def measure_unknown(self) -> None:
        """Like `measure`, for trees that an earlier daemon has prepared and not measured."""
        for tree in TREES:
            if self._store.contents(tree) and not self._store.size(tree):
                self.measure(tree)

    def cancel(self) -> None:
        if self._measuring:
            self._measuring.cancel()

    async def measure_again(self, tree: int) -> None:
        """At once: this tree, and those whose sizes its room depends on. Somebody may have removed files from them."""
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
        """What a version may add to what the tree holds already. Zero if no version was measured yet."""
        state = self._store.state()
        known = [self._store.size(version.tree) for version in (state.live, state.previous) if version]
        template = next(filter(None, known), Size(0, 0))
        held = self._store.size(tree) or Size(0, 0)
        return Size(max(template.bytes - held.bytes, 0), max(template.inodes - held.inodes, 0))


def _with_margin(growth: int, margin: int) -> int:
    return growth + growth // 10 + margin
