"""The candidate that is held: the queries."""

import msgspec

from slot_machine.core.candidate import Candidate
from slot_machine.core.model import Result
from slot_machine.core.phases import Phase
from slot_machine.state.database import Database, twice_on_a_full_disk
from slot_machine.state.schema import transaction

WATCHED = "json_extract(candidate, '$.state') = 'watched'"


class Candidates(Database):
    """There is one at most. It is gone once its version is live, in the transaction that makes that so.

    A live version that is watched has a row, too, until the watch is over.

    Each method is one transaction, on disk when it returns. Raises sqlite3.Error when the disk refuses.
    """

    def candidate(self) -> Candidate | None:
        row = self._db.execute("SELECT candidate FROM candidates").fetchone()
        return msgspec.json.decode(row[0], type=Candidate) if row else None

    @twice_on_a_full_disk
    def save_candidate(self, candidate: Candidate) -> None:
        """The deploy that started it counts as `held` from the moment at which its candidate is there."""
        with transaction(self._db):
            self._put(candidate)
            self._db.execute(
                "UPDATE attempts SET result = 'held' WHERE id = ? AND result = 'running'", (candidate.attempt,)
            )

    @twice_on_a_full_disk
    def end_candidate(
        self, candidate: Candidate, result: Result, error: str, stage: Phase = Phase.HELD, verdict: str = ""
    ) -> bool:
        """The deploy that started it is over, with this result. A candidate that has failed stays to be aborted.

        Returns whether that deploy was `held` until now.
        """
        with transaction(self._db):
            self._put(candidate if candidate.state == "failed" and result == "failed" else None)
            ended = self._db.execute(
                "UPDATE attempts SET result = ?, error = ?, stage = ?, verdict = ? WHERE id = ? AND result = 'held'",
                (result, error, stage, verdict, candidate.attempt),
            )
        return ended.rowcount > 0

    @twice_on_a_full_disk
    def end_watch(self) -> None:
        """The version that was watched stays live."""
        with transaction(self._db):
            self._db.execute(f"DELETE FROM candidates WHERE {WATCHED}")

    def _put(self, candidate: Candidate | None) -> None:
        self._db.execute("DELETE FROM candidates")
        if candidate:
            self._db.execute("INSERT INTO candidates VALUES (?)", (msgspec.json.encode(candidate).decode(),))

    def _promote_live_candidate(self) -> None:
        """Within the transaction that saves the state."""
        of = "json_extract(candidate, '$.version.{}')"
        columns = ", ".join(of.format(name) for name in ("slot", "commit", "tree"))
        live = f"WHERE ({columns}) = (SELECT live_slot, live_commit, live_tree FROM state)"
        self._db.execute(
            "UPDATE attempts SET result = 'succeeded' WHERE result = 'held'"
            f" AND id = (SELECT json_extract(candidate, '$.attempt') FROM candidates {live})"
        )
        self._db.execute(f"DELETE FROM candidates {live}")

    def _replace_watched(self, candidate: Candidate | None) -> None:
        """Within the same transaction."""
        self._db.execute(f"DELETE FROM candidates WHERE {WATCHED}")
        if candidate:
            self._put(candidate)
