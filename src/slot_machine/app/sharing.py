"""`promote --share`: a part of the visitors gets the candidate. A larger share moves visitors only towards it."""

from dataclasses import dataclass

from slot_machine.app.attempt import Report
from slot_machine.app.attempts import Attempts
from slot_machine.app.candidates import Candidates
from slot_machine.app.commits import Commits
from slot_machine.app.outcomes import Done, Outcome
from slot_machine.app.release import describe
from slot_machine.app.rollout import Rollout
from slot_machine.app.seams import TrafficMode
from slot_machine.core.candidate import WHOLE, Candidate
from slot_machine.core.errors import Impossible
from slot_machine.core.model import Version
from slot_machine.core.origin import Origin
from slot_machine.core.phases import Event
from slot_machine.state.store import Store


@dataclass(frozen=True)
class Sharing:
    _store: Store
    _mode: TrafficMode
    _attempts: Attempts
    _candidates: Candidates
    _rollout: Rollout
    _commits: Commits

    def check(self, share: int) -> Candidate:
        """Whether the candidate can have this share, of 10,000. Raises NothingHeld, Impossible, sqlite3.Error."""
        live = self._store.state().live
        one_alone = "strategy: replace lets no two versions run at once" if _replaces(live) else self._mode.no_hold
        if one_alone and not self._candidates.record:
            raise Impossible(f"no version can have a share: {one_alone}", "deploy without --hold")
        candidate = self._candidates.check_held()
        if not live:
            what = "nothing is live, so no other version would get the rest of the visitors"
            raise Impossible(what, "`slot-machine promote` without --share")
        if share < candidate.share:
            what = f"the share is {percent(candidate.share)} already, and {percent(share)} would send visitors back"
            raise Impossible(what, "`slot-machine abort` sends all of them back; then hold the version again")
        return candidate

    async def share(self, share: int, trigger: str, report: Report, origin: Origin) -> Outcome:
        """It is asked for its health before. Raises SlotMachineError."""
        version = self.check(share).version
        async with self._attempts.begin("promote", trigger, report, origin) as attempt:
            attempt.record.share = share * 100 / WHOLE
            attempt.describe(self._commits.known(version.commit))
            attempt.aim(version)
            attempt.on(Event.PROMOTE, f"asking {describe(version)} once more")
            await self._rollout.check_health(self._candidates.running())
            await self._rollout.prepare_return(attempt, version)
            attempt.on(Event.HEALTHY, f"{percent(share)} of the visitors to {describe(version)}")
            await self._candidates.share(share)
            attempt.on(Event.SHARE)
            live = self._store.state().live
            return Done("promote", version, live.commit if live else "", "", attempt.warnings, share=share)


def percent(share: int) -> str:
    return f"{share * 100 / WHOLE:g}%"


def _replaces(live: Version | None) -> bool:
    return live is not None and live.config.strategy == "replace"
