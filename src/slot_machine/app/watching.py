"""The watch after a switch: the old version stays ready, and a new one that is clearly worse is taken back."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.candidates import TakesOver
from slot_machine.app.clock import age_s, monotonic_s
from slot_machine.app.failures import going_on
from slot_machine.app.going_back import GoingBack
from slot_machine.app.judging import Judging
from slot_machine.app.parts import Parts
from slot_machine.app.release import Release, describe
from slot_machine.core.candidate import Candidate
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import WEB, State, Version, rfc3339
from slot_machine.core.phases import Event, Phase
from slot_machine.core.side_runs import parts as parts_of
from slot_machine.core.verdict import Side, Verdict
from slot_machine.core.verdict_table import columns

RECENT_CRASH_S = 900.0
"""A process of the old version that crashed so short a time ago is no reason to go back when it does so again."""

UNCOUNTED = "with --no-proxy nobody counts them"

log = logging.getLogger(__name__)


@dataclass
class Left:
    """A watch that an earlier daemon has begun. `old` is the release that stays ready, if it still runs."""

    candidate: Candidate
    before: State
    old: Release | None = None


@dataclass
class Watching:
    """`judging` is that of the watch that runs. `left` is what `find_left` has found."""

    _parts: Parts
    judging: Judging | None = None
    left: Left | None = None
    _kept_by: str = ""
    _printed: tuple[str, ...] = ()
    """The last lines of the process that crashed first."""

    def wanted(self, attempt: RunningAttempt, version: Version, live: Version | None) -> bool:
        """Only what was deployed is watched, and only if there is a version to go back to."""
        return attempt.record.kind in ("deploy", "promote") and version.config.watch_ms > 0 and live is not None

    def keep(self, who: str) -> None:
        """Ends the watch that runs: the new version is to stay."""
        if self.judging:
            self._kept_by = who or "somebody"
            self.judging.enough()

    async def run(
        self,
        attempt: RunningAttempt,
        before: State,
        new: Version,
        old: Release | None,
        since_s: float,
        began: Callable[[], None] = lambda: None,
    ) -> None:
        """After the switch, which was at `since_s` by the loop's clock. Returns when the new version is to stay.

        `began` is called when nothing can prevent the watch any more. Raises StageFailed for a version that is clearly
        worse, unless only a warning is wanted.
        """
        assert before.live
        config, back = new.config, GoingBack(self._parts, attempt, before, new, old)
        goes_on = attempt.phase is Phase.WATCH
        if not goes_on:
            attempt.on(Event.WATCH, self._plan(new, back))
        attempt.fallback = back
        try:
            judging = self.judging = self._judging(attempt, new, back, goes_on=goes_on)
            await back.stand_by()
            if config.watch_action == "warn":
                # It is not taken back, so it is started again.
                self._parts.supervisor.monitor.deploying = False
            began()
            await self._until_over(attempt, judging, since_s + config.watch_s, back)
            await back.leave()
        except asyncio.CancelledError:
            if not attempt.cancelled:
                back.give_up()
            why = "cancelled" if attempt.cancelled else "the daemon stopped"
            so_far = f"{self.judging.verdict}; " if self.judging else ""
            attempt.record.verdict = f"{so_far}{why} before the end"
            raise
        finally:
            self.judging, self._kept_by, self._printed = None, "", ()
            self._parts.supervisor.outages.on_end = lambda *_: None
        attempt.fallback = None

    def find_left(self, live: Version | None) -> Mapping[Version, TakesOver]:
        """What the recovery takes over, if it still runs, so that `go_on` can be called. Raises sqlite3.Error."""
        store = self._parts.store
        candidate = store.candidate()
        if not candidate or candidate.state != "watched":
            return {}
        record = store.attempt(candidate.attempt)
        if not candidate.before or candidate.version != live or not record or record.result != "running":
            store.end_watch()
            return {}
        # After a boot of the machine, it would go on for as long as the machine ran before.
        since_s = min(candidate.since_s, monotonic_s())
        left = self.left = Left(msgspec.structs.replace(candidate, since_s=since_s), candidate.before)

        async def take_over(release: Release) -> None:
            left.old = release

        return {left.before.live: take_over} if left.before.live else {}

    @property
    def goes_back(self) -> bool:
        """Whether the new version need not be started again if it has ended: `go_on` will go back."""
        left = self.left
        return left is not None and left.old is not None and left.candidate.version.config.watch_action != "warn"

    async def go_on(self, attempt: RunningAttempt, left: Left) -> None:
        """As `run`."""
        self.left = None
        new, before = left.candidate.version, left.before
        assert before.live
        if left.old or await self._parts.mode.reason_to_stop_first(new):
            await self.run(attempt, before, new, left.old, left.candidate.since_s)
            return
        attempt.record.verdict = "the daemon was killed before its end"
        ended = f"{describe(before.live)}, which stayed ready, does not run any more since the daemon was killed"
        attempt.warn(f"{ended}, so {describe(new)} is watched no longer, and stays live")
        await GoingBack(self._parts, attempt, before, new, None).leave()

    async def _until_over(self, attempt: RunningAttempt, judging: Judging, until_s: float, back: GoingBack) -> None:
        worse = await judging.until_worse(until_s)
        verdict, only_warns = judging.verdict, back.new.config.watch_action == "warn"
        if worse and only_warns:
            attempt.warn(f"the new version is worse, and stays live (watch_action: warn): {verdict.why}")
            await judging.until_worse(until_s, decides=False)
        for warning in judging.verdict.warnings:
            attempt.warn(warning)
        if not self._parts.mode.no_hold:
            tell(attempt, *judging.sides)
        kept = f"; kept by {self._kept_by} before the end" if self._kept_by else ""
        attempt.record.verdict = f"{verdict}{kept}"
        attempt.summarize(attempt.record.verdict)
        if worse and not only_warns:
            raise self._taken_back(verdict, back, until_s - back.new.config.watch_s)

    def _no_hold(self, new: Version) -> str:
        """Why a worse one can't be kept for a look."""
        return "strategy: replace" if new.config.strategy == "replace" else self._parts.mode.no_hold

    def _taken_back(self, verdict: Verdict, back: GoingBack, since_s: float) -> StageFailed:
        slot, release = back.new.slot, self._parts.supervisor.release
        if back.new.config.watch_action == "hold" and not self._no_hold(back.new):
            back.keeps = verdict
        lines = self._printed
        with going_on("cannot read the last lines of the output"):
            if not lines and release and release.runs and release.version == back.new:
                lines = release.web.last_lines()
        masked = tuple(map(self._parts.launcher.masking.text, lines))
        what = f"{describe(back.new)} is worse than {describe(back.version)}, so it is taken back: {verdict.why}"
        began = rfc3339(datetime.now(UTC) - timedelta(seconds=asyncio.get_running_loop().time() - since_s))
        hint = f"`slot-machine logs --slot {slot} --since {began}` shows what it printed"
        return StageFailed(Phase.WATCH, what, masked, hint)

    def _judging(self, attempt: RunningAttempt, new: Version, back: GoingBack, *, goes_on: bool) -> Judging:
        """To be called before anything is awaited: from the switch on, somebody may keep it, and it may crash."""
        judging = Judging(
            self._parts.gather(new, back.version, False),
            same_minutes=False,
            failing=lambda: self._parts.supervisor.monitor.failing,
            known_crashes=self._crashed_before(back.version),
            tell=lambda *sides: tell(attempt, *sides),
            uncounted=UNCOUNTED if self._parts.mode.no_hold else "",
        )

        def ended(run: str, version: Version, how: str, lines: Sequence[str]) -> None:
            if version == new:
                self._printed = self._printed or tuple(lines)
                judging.crashed(parts_of(run)[0], how)
                if run == WEB and new.config.watch_action == "warn":
                    back.make_way()

        self._parts.supervisor.outages.on_end = ended
        if goes_on and not self._parts.supervisor.running:
            judging.gone(WEB, "it did not run any more when the daemon started")
        return judging

    def _crashed_before(self, old: Version) -> frozenset[str]:
        with going_on("cannot tell what of the old version has crashed"):
            exits = self._parts.store.exits()
            return frozenset(
                parts_of(end.process)[0]
                for end in exits
                if (end.commit, end.slot) == (old.commit, old.slot) and age_s(end.at) < RECENT_CRASH_S
            )
        return frozenset()

    def _plan(self, new: Version, back: GoingBack) -> str:
        ready = f"{describe(back.version)} {'stays ready' if back.old else 'is started again if need be'}"
        why = self._no_hold(new) if new.config.watch_action == "hold" else ""
        ends = f"; a worse one ends, because none can be kept for a look: {why}" if why else ""
        return f"for {new.config.watch_s:g} s; {ready}{ends}"


def tell(attempt: RunningAttempt, new: Side, old: Side) -> None:
    """In two columns."""
    attempt.printed("".join(f"{line}\n" for line in columns(new, old)).encode())
