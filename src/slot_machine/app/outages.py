"""Writes down when runs of the live release end by themselves: in the history, in counters, and how it came."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from slot_machine.app.clock import age_s, monotonic_s, now
from slot_machine.app.commits import Commits
from slot_machine.app.failures import going_on
from slot_machine.core.backoff import RESET_AFTER_S
from slot_machine.core.masking import Masking
from slot_machine.core.model import WEB, Attempt, Version
from slot_machine.state.restarts import Exit, RestartCount
from slot_machine.state.store import Store

Cause = Literal["crash", "unhealthy"]
Standing = Literal["running", "unsteady", "backing off", "crash loop"]

STEADY_AFTER_S = RESET_AFTER_S
"""A run that ended again before that counts as not recovered: its entry goes on."""

LOOPS_AFTER = 3
"""So many ends without a steady time between them are a crash loop."""

SHOWN_LINES = 5
"""In the status. The history has some more."""

MOST_WARNINGS = 10
"""Of starts that failed; later ones are not written down."""


@dataclass
class Outage:
    """`record` is its entry. `away_s` is the time at which it went away; None while it runs. `back_s`: it ran again."""

    record: Attempt
    version: Version
    how: str
    began_s: float
    away_s: float | None
    visitors: bool
    """Whether they get a 503 meanwhile."""
    back_s: float = 0.0
    ends: int = 1

    def end(self) -> None:
        """It runs again, or need not any more."""
        if self.away_s is None:
            return
        if self.visitors:
            self.record.away_s = round(self.record.away_s + monotonic_s() - self.away_s, 3)
        self.away_s, self.back_s = None, monotonic_s()
        self.record.seconds = round(monotonic_s() - self.began_s, 3)


class Outages:
    """One entry for each run that ended, until it has run on for STEADY_AFTER_S. All methods raise nothing."""

    def __init__(self, store: Store, commits: Commits, masking: Masking) -> None:
        self._store = store
        self._commits = commits
        self._masking = masking
        self.on_end: Callable[[str, Version, str, Sequence[str]], None] = lambda *_: None
        """Called with the name of a run that ended by itself, its version, how it ended, and its last lines."""
        self._of: dict[str, Outage] = {}
        self._unsaved: dict[int, Attempt] = {}
        """Entries that could not be saved, as on a full disk: they are saved with the next ones."""

    def ended(self, name: str, version: Version, cause: Cause, how: str, lines: Sequence[str]) -> int:
        """Returns the id of its entry in the history; 0 if none could be begun."""
        how, lines = self._masking.text(how), [self._masking.text(line) for line in lines]
        with going_on(f"cannot write down how {name} ended"):
            self._store.count_restart(name, cause, now())
            self._store.save_exit(Exit(name, how, now(), version.commit, version.slot, lines[-SHOWN_LINES:]))
        self.began(name, version, cause, how, lines)
        with going_on(f"cannot tell that {name} has ended"):
            self.on_end(name, version, how, lines)
        outage = self._of.get(name)
        return outage.record.id if outage and outage.away_s is not None else 0

    def began(self, name: str, version: Version, cause: str, how: str, lines: Sequence[str] = ()) -> None:
        """From now on it does not run, also if it could not be started in the first place."""
        with going_on(f"cannot write down that {name} does not run"):
            outage, how = self._of.get(name), self._masking.text(how)
            if outage and outage.away_s is not None:
                return
            if outage and outage.version == version and monotonic_s() - outage.back_s < STEADY_AFTER_S:
                self._goes_on(outage, how)
            else:
                self._of[name] = self._new(name, version, cause, how, lines)

    def failed(self, name: str, words: str) -> None:
        """It could not be started again."""
        outage = self._of.get(name)
        if outage and outage.away_s is not None and len(outage.record.warnings) < MOST_WARNINGS:
            outage.record.warnings += (words,)
            self._save(outage)

    def back(self, name: str) -> None:
        """It runs; visitors reach the web run."""
        outage = self._of.get(name)
        if outage and outage.away_s is not None:
            outage.end()
            outage.record.result = "succeeded"
            self._save(outage)

    def replaced(self) -> None:
        """Another version went live."""
        self._save_unsaved()
        self.back(WEB)
        self._close("another version went live")

    def leave(self) -> None:
        """The daemon ends."""
        self._save_unsaved()
        self._close("the daemon ended before it ran again")

    def counts(self) -> list[RestartCount]:
        """Raises sqlite3.Error."""
        return self._store.restart_counts()

    def exits(self) -> list[Exit]:
        """Raises sqlite3.Error."""
        return self._store.exits()

    def restarted(self, cause: str, name: str = WEB) -> None:
        """A run was replaced that had not ended, because somebody asked for it or because it took too much memory."""
        with going_on("cannot count a restart"):
            self._store.count_restart(name, cause, now())

    def standing(self, name: str, version: Version, *, running: bool) -> Standing:
        """Raises sqlite3.Error."""
        outage = self._of.get(name)
        if not outage and running:
            return "unsteady" if self.ended_before(name, version) else "running"
        if not outage or (running and outage.away_s is None and monotonic_s() - outage.back_s >= STEADY_AFTER_S):
            return "running" if running else "backing off"
        if outage.ends >= LOOPS_AFTER:
            return "crash loop"
        return "unsteady" if running else "backing off"

    def ended_before(self, name: str, version: Version) -> bool:
        """Whether it ended a short time ago: under an earlier daemon, or before a restart. Raises sqlite3.Error."""
        if name in self._of:
            return False
        ends = {(end.process, end.commit, end.slot): end.at for end in self._store.exits()}
        at = ends.get((name, version.commit, version.slot))
        return at is not None and 0 <= age_s(at) < STEADY_AFTER_S

    def _new(self, name: str, version: Version, cause: str, how: str, lines: Sequence[str]) -> Outage:
        subject, author, _ = self._commits.known(version.commit)
        error = how if name == WEB else f"{name}: {how}"
        record = Attempt(
            id=0,
            kind="crash",
            trigger="supervisor",
            commit=version.commit,
            slot=version.slot,
            started_at=now(),
            error=error,
            subject=subject,
            author=author,
            cause=cause,
        )
        outage = Outage(self._store.begin(record), version, error, monotonic_s(), monotonic_s(), visitors=name == WEB)
        self._save(outage)
        if lines:
            self._store.save_output(outage.record.id, {name: "".join(f"{line}\n" for line in lines).encode()})
        return outage

    def _goes_on(self, outage: Outage, how: str) -> None:
        outage.ends += 1
        outage.away_s = monotonic_s()
        outage.record.result = "running"
        outage.record.error = f"{outage.how}; {outage.ends} ends in all, the last one: {how}"
        self._save(outage)

    def _close(self, why: str) -> None:
        for outage in self._of.values():
            if outage.away_s is not None:
                outage.end()
                outage.record.result, outage.record.error = "interrupted", f"{outage.record.error}; {why}"
                self._save(outage)
        self._of.clear()

    def _save(self, outage: Outage) -> None:
        self._unsaved[outage.record.id] = outage.record
        self._save_unsaved()

    def _save_unsaved(self) -> None:
        with going_on("cannot write the history"):
            for record in list(self._unsaved.values()):
                self._store.save_attempt(record)
                del self._unsaved[record.id]
