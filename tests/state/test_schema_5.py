"""A database of the last release, opened by this one: `schema_5.sql` is what that release wrote."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from slot_machine.core.errors import StateDamaged
from slot_machine.core.model import NOT_CONFIGURED
from slot_machine.core.version_config import VersionConfig
from slot_machine.state import seal
from slot_machine.state.soundness import open_sound

SEALED = seal.Seal(3, "36c3896c72aaad7f1fc4bf6f76db68acc7b2eff1fab05e3425e1d2196e35fcc7")
CONFIG = VersionConfig(start_command="node server.js", drain_timeout_ms=9000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(Path(__file__).with_name("schema_5.sql").read_text())
        db.execute("PRAGMA user_version = 5")
    seal.write(seal.path_of(path), SEALED)
    return path


def test_versions_get_the_configuration_of_the_daemon(path: Path) -> None:
    with closing(open_sound(path)) as store:
        live = store.state().live
        assert live
        assert live.config == NOT_CONFIGURED
        store.fill_configs(CONFIG)

    with closing(open_sound(path)) as store:
        store.fill_configs(VersionConfig(start_command="another"))
        state, (_, app) = store.state(), store.processes()
        assert [version.config for version in (state.live, state.previous) if version] == [CONFIG, CONFIG]
        assert app.running
        assert app.running.version == state.live
        assert app.running.version.config == CONFIG
        (attempt,) = store.attempts(9)
        assert (attempt.result, attempt.config, attempt.warnings) == ("succeeded", "", ())
        assert store.attempt(attempt.id) == attempt
        assert store.attempt(99) is None


def test_a_database_without_versions_is_not_written(tmp_path: Path) -> None:
    with closing(open_sound(tmp_path / "state.db")) as store:
        before = store.seal()
        store.fill_configs(CONFIG)
        assert store.seal() == before


def test_damage_to_the_configuration_is_noticed(path: Path) -> None:
    with closing(open_sound(path)) as store:
        store.fill_configs(CONFIG)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE state SET live_config = replace(live_config, 'node', 'evil')")
        db.commit()
    with pytest.raises(StateDamaged):
        open_sound(path)
