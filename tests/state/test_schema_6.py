"""A database of an earlier release, opened by this one: `schema_6.sql` is what that release wrote."""

import sqlite3
from contextlib import closing
from pathlib import Path

from slot_machine.state import seal
from slot_machine.state.soundness import open_sound

SEALED = seal.Seal(2, "07c32e61904315434e5904068b2fd49d6e6e162f90aea09fef4c14922d01bef1")


def test_versions_and_history_stay(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(Path(__file__).with_name("schema_6.sql").read_text())
        db.execute("PRAGMA user_version = 6")
    seal.write(seal.path_of(path), SEALED)

    with closing(open_sound(path)) as store:
        state, (app,) = store.state(), store.processes()
        assert state.live
        assert state.previous
        assert state.previous.config.start_command == "node old.js"
        assert app.running
        assert app.running.version == state.live
        assert app.running.version.config == state.live.config
        assert app.running.env_digest == "of live"
        assert (store.build_variables(1), store.build_variables(3)) == (None, {"VITE_KEY": "digest"})
        job, deploy = store.attempts(9)
        assert (job.job, job.result, deploy.warnings) == ("nightly", "failed", ("a warning",))
        assert (deploy.who, deploy.subject, deploy.away_s) == ("", "", 0.0)
    assert path.with_name("state.db.schema-6").exists()
