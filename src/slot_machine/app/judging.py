"""Looks at a version again and again while it is watched, and says when it is clearly worse than the other one."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from slot_machine.app.clock import monotonic_s
from slot_machine.app.failures import in_words
from slot_machine.core import verdict
from slot_machine.core.model import Version
from slot_machine.core.verdict import Side, Verdict

LOOK_EVERY_S = 1.0
LONGEST_LOOK_S = 5.0
TOLD_AFTER_S = 5.0
"""The numbers are told first after that time, and then after twice the time that has passed."""

log = logging.getLogger(__name__)


class Evidence(Protocol):
    async def look(self) -> tuple[Side, Side]:
        """What is known by now of the new and of the old version."""


Gather = Callable[[Version, Version, bool], Evidence]
"""Begins to gather what is known of a new version and of an old one. The last argument: both serve in the same minutes,
as in a share."""


class Judging:
    """`verdict` is the latest one. A crash decides at once, unless the old version's process of that name crashed."""

    def __init__(
        self,
        evidence: Evidence,
        *,
        same_minutes: bool,
        failing: Callable[[], str] = lambda: "",
        known_crashes: frozenset[str] = frozenset(),
        tell: Callable[[Side, Side], None] = lambda _, __: None,
        uncounted: str = "",
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`failing` says why the new version is unhealthy. `tell` gets the numbers now and then, `warn` the first
        warnings that there are.

        `uncounted`: why there are no numbers, so that nothing is told of them.
        """
        self.verdict = Verdict("not enough requests")
        self.sides = (Side(), Side())
        self._evidence = evidence
        self._same_minutes = same_minutes
        self._failing = failing
        self._known_crashes = known_crashes
        self._tell = tell
        self._uncounted = uncounted
        self._warn = warn
        self._warned = False
        self._crashes: dict[str, str] = {}
        self._sooner = asyncio.Event()
        self._enough = False
        self._failure = ""
        self._began_s = self._told_s = monotonic_s()

    def crashed(self, process: str, how: str) -> None:
        """Of the new version."""
        if process not in self._known_crashes:
            self.gone(process, how)

    def gone(self, process: str, how: str) -> None:
        """As `crashed`, whatever is known of the old version."""
        self._crashes.setdefault(process, how)
        self._sooner.set()

    def enough(self) -> None:
        """Ends the watch at once: the version is to stay."""
        self._enough = True
        self._sooner.set()

    async def until_worse(self, until_s: float, *, decides: bool = True) -> bool:
        """Returns whether it is clearly worse. It is not if the time, by the loop's clock, is over before that.

        If nothing `decides` any more, it only looks on until the end.
        """
        while True:
            if await self._is_worse() and decides and not self._enough:
                return True
            self._warn_once()
            left_s = until_s - monotonic_s()
            if left_s <= 0 or self._enough:
                return False
            self._tell_sometimes()
            self._sooner.clear()
            try:
                async with asyncio.timeout(min(left_s, LOOK_EVERY_S)):
                    await self._sooner.wait()
            except TimeoutError:
                pass

    async def _is_worse(self) -> bool:
        try:
            async with asyncio.timeout(LONGEST_LOOK_S):
                new, old = await self._evidence.look()
            self.sides = (msgspec.structs.replace(new, crashes=tuple(self._crashes)), old)
            self.verdict = self._judged()
            self._failure = ""
        except Exception as error:  # noqa: BLE001 - what is not known decides nothing
            if (failure := in_words(error)) != self._failure:
                log.error("cannot tell how the new version does: %s", failure)
            self._failure = failure
        if why := self._crash() or self._failing():
            self.verdict = Verdict("worse", why, self.verdict.numbers, self.verdict.warnings)
        return self.verdict.word == "worse"

    def _judged(self) -> Verdict:
        judged = verdict.judge(*self.sides, same_minutes=self._same_minutes)
        if self._uncounted and judged.word == "not enough requests":
            return msgspec.structs.replace(judged, why=self._uncounted)
        return judged

    def _crash(self) -> str:
        return "; ".join(f"{process} ended: {how}" for process, how in self._crashes.items())

    def _warn_once(self) -> None:
        if self.verdict.warnings and not self._warned:
            self._warned = True
            for warning in self.verdict.warnings:
                self._warn(warning)

    def _tell_sometimes(self) -> None:
        passed_s = monotonic_s() - self._began_s
        if not self._uncounted and passed_s >= max(TOLD_AFTER_S, 2 * (self._told_s - self._began_s)):
            self._told_s = monotonic_s()
            self._tell(*self.sides)
