"""The candidate that is held: there is one at most, and it is gone in the same step in which its version is live."""

import sqlite3
from pathlib import Path

import pytest

from slot_machine.core.candidate import Candidate
from slot_machine.core.model import Attempt, State, Version
from tests.database import opened

LIVE, NEXT = Version("a", "c1", 1), Version("b", "c2", 3)
HELD = Candidate(NEXT, 1, "2026-01-01T00:00:00.000Z", 12.5)


def test_it_is_there_until_its_version_is_live(tmp_path: Path) -> None:
    with opened(tmp_path / "state.db") as store:
        assert store.candidate() is None
        attempt = store.begin(Attempt(id=0, kind="deploy", trigger="api", started_at=HELD.since))
        store.save_candidate(HELD)
        held = store.attempt(attempt.id)
        assert held
        assert held.result == "held"
        store.save_state(State(LIVE, None, "then"))
        store.save_state(State(Version("a", NEXT.commit, NEXT.tree), None, "then"))

    with opened(tmp_path / "state.db") as store:
        assert store.candidate() == HELD
        store.save_state(State(NEXT, LIVE, "now"))
        assert store.candidate() is None
        (deploy,) = store.attempts(9)
        assert (deploy.result, deploy.went_live) == ("succeeded", True)


def test_one_that_has_failed_stays_until_it_is_ended(tmp_path: Path) -> None:
    with opened(tmp_path / "state.db") as store:
        store.begin(Attempt(id=0, kind="deploy", trigger="api", started_at=HELD.since))
        store.save_candidate(HELD)
        failed = HELD.failed("it ended")
        assert store.end_candidate(failed, "failed", "it ended")
        assert store.candidate() == failed
        assert not store.end_candidate(failed, "cancelled", "aborted")
        assert store.candidate() is None
        (deploy,) = store.attempts(9)
        assert (deploy.result, deploy.stage, deploy.error) == ("failed", "held", "it ended")


def test_state_and_candidate_change_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "state.db") as store:
        store.save_state(before := State(LIVE, None, "then"))
        store.save_candidate(HELD)

        def full() -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(store, "_promote_live_candidate", full)
        with pytest.raises(sqlite3.OperationalError):
            store.save_state(State(NEXT, LIVE, "now"))

        assert (store.state(), store.candidate()) == (before, HELD)
