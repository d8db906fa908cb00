"""A remote in memory that a test moves, and a machine in memory that follows it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from slot_machine.app.follow import Following
from tests.app.stories import WITHOUT_PROBES
from tests.fakes import COMMITS, Faults, Machine, until

EVERY_S = 60
FOLLOWED: dict[str, object] = WITHOUT_PROBES | {"follow": {"every_s": EVERY_S}}
FORCED: dict[str, object] = WITHOUT_PROBES | {"follow": {"every_s": EVERY_S, "force": True}}

A, B, C, D = (COMMITS[name] for name in "abcd")


class Remote:
    """Each commit follows from those whose letters come before, unless it is in `apart`."""

    def __init__(self) -> None:
        self.at = A
        self.apart: set[str] = set()
        self.failures: list[Exception] = []
        self.fetch_s = 0.0
        self.looks: list[float] = []
        self.under_way = False
        self.noted = ""

    async def tip(self) -> str:
        assert not self.under_way
        self.looks.append(asyncio.get_running_loop().time())
        self.under_way = True
        try:
            await asyncio.sleep(self.fetch_s)
        finally:
            self.under_way = False
        if self.failures:
            raise self.failures.pop(0)
        return self.at

    async def contains(self, commit: str, earlier: str) -> bool:
        await asyncio.sleep(0)
        return commit >= earlier and not {commit, earlier} & self.apart

    async def leave_out(self, commit: str) -> None:
        self.noted = commit

    async def left_out(self) -> str:
        return self.noted


async def in_time(condition: Callable[[], object]) -> None:
    """Like `until`, for what takes minutes."""
    while not condition():  # noqa: ASYNC110 - in this time it costs nothing
        await asyncio.sleep(5)


class Story:
    def __init__(self, machine: Machine, remote: Remote) -> None:
        assert machine.app.following
        self.machine = machine
        self.remote = remote
        self.following: Following = machine.app.following

    @property
    def live(self) -> str:
        live = self.machine.deployer.state.live
        return live.commit[0] if live else ""

    @property
    def said(self) -> str:
        return f"{self.following.status.state}: {self.following.status.reason}"

    @property
    def deploys(self) -> list[str]:
        """Those of the follower, the first one first, with their results."""
        found = self.machine.deployer.attempts.history(100, jobs=False)
        return [f"{one.commit[:1]} {one.result}" for one in found[::-1] if one.trigger == "follow"]

    async def look(self) -> None:
        """Waits until it has looked once more, and has come to rest."""
        await self.looks(1)

    async def looks(self, number: int) -> None:
        begun = len(self.remote.looks)
        await in_time(lambda: len(self.remote.looks) >= begun + number)
        await self.rests()

    async def rests(self) -> None:
        await until(lambda: not self.remote.under_way and not self.machine.deployer.operations.busy)
        await asyncio.sleep(2)


@asynccontextmanager
async def followed(
    data: Path, config: Mapping[str, object] = FOLLOWED, remote: Remote | None = None, faults: Faults | None = None
) -> AsyncIterator[Story]:
    remote = remote or Remote()
    async with asyncio.TaskGroup() as tasks:
        made = Machine.make(data, tasks, faults or Faults(), config, remote=remote)
        story = Story(made, remote)
        story.following.start(tasks)
        yield story
        await story.following.stop()
        await made.deployer.stop()
        assert not made.running
        assert not remote.under_way
    made.close()
