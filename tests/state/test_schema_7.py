"""A database of the last release, opened by this one: `schema_7.sql` is what that release wrote."""

import sqlite3
from contextlib import closing
from pathlib import Path

from slot_machine.state import seal
from slot_machine.state.soundness import open_sound

SEALED = seal.Seal(2, "b7cb43a638ddf96322c2e92d9ba7710d7ea3f3f1003a0bedca039d12eebcc5db")


def test_versions_history_and_a_held_candidate_stay(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(Path(__file__).with_name("schema_7.sql").read_text())
        db.execute("PRAGMA user_version = 7")
    seal.write(seal.path_of(path), SEALED)

    with closing(open_sound(path)) as store:
        state, candidate, (app,) = store.state(), store.candidate(), store.processes()
        assert state.live
        assert state.live.config.start_command == "node server.js"
        assert app.running
        assert app.running.version == state.live
        assert candidate
        assert (candidate.state, candidate.version.commit, candidate.since_s) == ("held", "e" * 40, 5.0)
        held, _, deploy = store.attempts(9)
        assert (held.id, held.result, held.who, held.subject) == (candidate.attempt, "held", "ann", "A subject")
        assert store.output(held.id) == {"setup": "installing\n"}
        assert (deploy.warnings, deploy.verdict) == (("a warning",), "")
    assert path.with_name("state.db.schema-7").exists()
