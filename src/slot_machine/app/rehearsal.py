"""Asks a candidate for pages before it gets visitors, and compares its answers with those of the live version."""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.failures import going_on
from slot_machine.app.release import Release
from slot_machine.app.seams import Starter
from slot_machine.app.supervisor import Supervisor
from slot_machine.core import safe_paths
from slot_machine.core.errors import StageFailed
from slot_machine.core.fields import RECENT
from slot_machine.core.model import Version
from slot_machine.core.phases import Event, Phase
from slot_machine.host.network.probe import Answer

TOTAL_S = 30.0
"""After this time, no further path is asked for."""
ANSWER_S = 10.0
"""Each answer takes as long at most."""
AT_ONCE = 4
MOST_NAMED = 5

NOTHING_RECENT = (
    f"no path that is safe to ask for had {safe_paths.LEAST_VISITS} requests without cookies in the last hour"
)
ELSEWHERE = (
    "each path was answered with a redirect to another host or scheme, so no page was rehearsed; `public_url` or"
    " `health_host` names the host that the app answers"
)
ENDED = "the app ended while it was asked for its pages"
DECLINE = "the requests have the field Slot-Machine-Rehearsal: 1, by which the app can tell them from visitors'"


class Visits(Protocol):
    """As `recorder.Recorder` knows them."""

    async def recent(self) -> Mapping[str, int]:
        """Anonymous requests of the last hour, by path. Raises TimeoutError, sqlite3.Error, OSError."""

    async def look(self) -> None:
        """Counts from now on for the version that is live. Raises nothing."""


class Compared(NamedTuple):
    """The answers to one path. `live` is None if no live version runs, or if it need not be asked."""

    path: str
    candidate: Answer
    live: Answer | None

    @property
    def is_worse(self) -> bool:
        return _failed(self.candidate) and (self.live is None or _served(self.live))

    @property
    def is_doubtful(self) -> bool:
        """Whether a person should look at it. A path that neither version has is no news."""
        return _failed(self.candidate) or not self.live or _served(self.live)

    def __str__(self) -> str:
        """Such as `/pricing was answered 500, and 200 by the live version`."""
        live = f", and {self.live.words} by the live version" if self.live else ""
        return f"{self.path} was answered {self.candidate.words}{live}"


@dataclass(frozen=True)
class Rehearsal:
    _launcher: Starter
    _supervisor: Supervisor
    _visits: Visits

    async def run(self, attempt: RunningAttempt, candidate: Release) -> None:
        """Only for a deploy whose version has paths to ask for. Raises StageFailed; then the candidate has ended."""
        if attempt.record.kind != "deploy" or not candidate.version.config.rehearse:
            return
        try:
            await self._rehearse(attempt, candidate)
        except BaseException:
            await candidate.stop(candidate.version.config.drain_timeout_s / 2)
            raise

    async def _rehearse(self, attempt: RunningAttempt, candidate: Release) -> None:
        wanted = candidate.version.config.rehearse
        attempt.on(Event.REHEARSE, "recent paths" if wanted == RECENT else _paths(len(wanted)))
        paths = await self._recent(attempt) if wanted == RECENT else wanted
        if not paths:
            return
        attempt.output(f"asks for {', '.join(paths)}")
        found = await self._ask_for_all(candidate, paths)
        worse = [compared for compared in found if compared.is_worse]
        if not candidate.running:
            raise self._failure(candidate, f"{ENDED}: {_in_words(worse)}" if worse else ENDED)
        if worse:
            raise self._failure(candidate, _in_words(worse))
        _tell(attempt, found, len(paths))

    async def _recent(self, attempt: RunningAttempt) -> tuple[str, ...]:
        """No deploy fails because the records of requests can't be read."""
        try:
            paths = safe_paths.choose(await self._visits.recent())
        except (OSError, sqlite3.Error) as error:
            why = str(error) or "that takes too long"
            attempt.warn(f"nothing was rehearsed: cannot read the records of requests: {why}")
            return ()
        if not paths:
            attempt.summarize(NOTHING_RECENT)
        return paths

    async def _ask_for_all(self, candidate: Release, paths: Sequence[str]) -> list[Compared]:
        """A few at once; those that there was time for. Raises StageFailed."""
        live = self._supervisor.release if self._supervisor.running else None
        left, found = iter(paths), list[Compared]()
        tasks = [asyncio.create_task(self._ask_for(left, candidate, live, found)) for _ in range(AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return sorted(found, key=lambda compared: paths.index(compared.path))

    async def _ask_for(
        self, left: Iterator[str], candidate: Release, live: Release | None, found: list[Compared]
    ) -> None:
        """The live version is asked only for what the candidate does not serve: it has visitors to answer."""
        now = asyncio.get_running_loop().time
        ends_s = now() + TOTAL_S
        for path in left:
            answer = await self._answer(candidate, path, candidate=True)
            other = await self._answer(live, path, candidate=False) if live and not _served(answer) else None
            found.append(Compared(path, answer, other))
            if now() >= ends_s:
                return

    async def _answer(self, release: Release, path: str, *, candidate: bool) -> Answer:
        try:
            return await self._launcher.ask(release, path, ANSWER_S, candidate=candidate)
        except OSError as error:
            raise StageFailed(Phase.REHEARSE, f"cannot ask for {path}: {error}") from error

    def _failure(self, candidate: Release, message: str) -> StageFailed:
        output: tuple[str, ...] = ()
        with going_on("cannot read what the app printed"):
            output = candidate.web.last_lines()
        return StageFailed(Phase.REHEARSE, message, output, f"its output is in {candidate.web.log}; {DECLINE}")


def longest_s(version: Version) -> float:
    """How long a rehearsal takes at most while no live version runs."""
    return TOTAL_S + ANSWER_S if version.config.rehearse else 0.0


def _tell(attempt: RunningAttempt, found: Sequence[Compared], number: int) -> None:
    doubtful = [compared for compared in found if not _served(compared.candidate) and compared.is_doubtful]
    for compared in found:
        if compared in doubtful:
            attempt.warn(str(compared))
        elif not _served(compared.candidate) or compared.candidate.elsewhere:
            attempt.output(str(compared))
    if found and all(compared.candidate.elsewhere for compared in found):
        attempt.warn(ELSEWHERE)
    if number > len(found):
        attempt.warn(f"{number - len(found)} of {number} paths were not asked for, as {TOTAL_S:g} s were over")
    verdict = f"{len(doubtful)} with a warning" if doubtful else "none is worse than before"
    attempt.summarize(f"{_paths(len(found))}, {verdict}")


def _paths(count: int) -> str:
    return f"{count} path{'' if count == 1 else 's'}"


def _in_words(worse: Sequence[Compared]) -> str:
    named = "; ".join(map(str, worse[:MOST_NAMED]))
    return f"{named}; and {len(worse) - MOST_NAMED} more" if len(worse) > MOST_NAMED else named


def _served(answer: Answer) -> bool:
    return 200 <= answer.status < 400


def _failed(answer: Answer) -> bool:
    """Whether it says that the app has a defect, or none came. Everything else may be what the app means."""
    return answer.status == 0 or answer.status >= 500
