"""Workers in memory that really count, and a recorder that takes from them: for evidence on a fake clock."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slot_machine.app.evidence import Evidence
from slot_machine.app.recorder import Recorder
from slot_machine.core.minutes import Minute
from slot_machine.core.model import State, Version, rfc3339
from slot_machine.core.verdict import Verdict, judge
from slot_machine.proxy.observer import Observers
from slot_machine.state.stats import NAME, Stats

BEGAN_S = 60_000_000.0
"""The time since 1970 when the clock of the loop is 0."""


class Workers:
    """An exception in `answers` is raised by the next look. `state` says what is live."""

    def __init__(self, number: int = 1) -> None:
        self.observers = [Observers() for _ in range(number)]
        self.answers: list[Exception] = []
        self.state = live("0")

    async def take_minutes(self, *, current: bool) -> list[Minute]:
        if self.answers:
            raise self.answers.pop()
        self.tick()
        taken: list[Minute] = []
        for observers in self.observers:
            if current:
                observers.end_part()
            taken += iter(observers.take, None)
        return taken

    def tick(self) -> None:
        for observers in self.observers:
            observers.tick(BEGAN_S + asyncio.get_running_loop().time())

    def ask(
        self, slot: str, path: bytes, status: int = 200, seconds: float = 0.01, visitor: int = 0, worker: int = 0
    ) -> None:
        """A request; `visitor` 0 is one that never came before."""
        self.tick()
        observer = self.observers[worker].of(slot)
        if observer.observe(path, status, seconds, 100, 1000):
            observer.visited(path, status, visitor or random.getrandbits(60))


def live(commit: str, ago_s: float = 0.0) -> State:
    """In slot `a`, since then."""
    since = datetime.now(UTC) - timedelta(seconds=ago_s)
    return State(Version("a", commit * 40), None, rfc3339(since))


class Traffic:
    """Visitors of a shop, drawn with a seed. `failing` is the share of failures by path."""

    def __init__(self, folder: Path, seed: int, paths: Sequence[bytes], per_second: int, usual: float) -> None:
        self.rng = random.Random(seed)
        self.workers = Workers(2)
        self.recorder = Recorder(self.workers, Stats(folder / NAME), lambda: self.workers.state)
        self.paths = paths
        self.per_second = per_second
        self.usual = usual

    def second(self, slot: str, failing: dict[bytes, float] | None = None) -> None:
        """With noisy latency: one request in fifty takes some hundred times as long."""
        rng = self.rng
        for number in range(self.per_second):
            path = rng.choice(self.paths)
            status = 500 if rng.random() < (failing or {}).get(path, self.usual) else 200
            seconds = rng.lognormvariate(-4, 1) * (rng.choice((1, 200)) if rng.random() < 0.04 else 1)
            self.workers.ask(slot, path, status, seconds, worker=number % 2)

    async def before(self, over_s: int) -> None:
        for second in range(over_s):
            self.second("a")
            if second % 60 == 59:
                await self.recorder.look()
            await asyncio.sleep(1)

    async def watch(self, over_s: int, failing: dict[bytes, float] | None = None) -> tuple[int, Verdict]:
        """From the switch on, with two looks a second. Returns after how many seconds it ended, and how."""
        evidence = Evidence(self.recorder, "b", "a")
        verdict = judge(*await evidence.look(), same_minutes=False)
        for second in range(over_s):
            self.second("b", failing)
            for _ in range(2):
                await asyncio.sleep(0.5)
                verdict = judge(*await evidence.look(), same_minutes=False)
            if verdict.word == "worse":
                return second + 1, verdict
        return over_s, verdict
