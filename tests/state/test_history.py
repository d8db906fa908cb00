"""The history of attempts and of jobs: what is kept of it, and what a daemon finds after another one."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from slot_machine.core.model import Attempt, Kind, Version
from slot_machine.core.version_config import VersionConfig
from slot_machine.host.process.proc import Identity
from slot_machine.state.history import KEPT_ATTEMPTS, KEPT_OF_A_JOB, KEPT_OF_JOBS, Followed, UnderWay
from slot_machine.state.schema import SCHEMA, prepare
from slot_machine.state.store import Store

NOW = "2026-06-01T12:00:00.000Z"
VERSION = Version("b", "b" * 40, 2, VersionConfig(start_command="app"))
RUN = UnderWay(Identity(7, 8, "boot", "mark", "group"), VERSION, 60.0, 1234.5, 99)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "state.db")) as store:
        yield store


def entry(kind: Kind = "job", job: str = "nightly") -> Attempt:
    return Attempt(id=0, kind=kind, trigger="schedule", started_at=NOW, job=job if kind == "job" else "")


def ended(store: Store, job: str, number: int) -> None:
    for _ in range(number):
        store.save_attempt(msgspec.structs.replace(store.begin(entry(job=job), NOW), result="succeeded"))


def test_a_job_pushes_neither_deploys_nor_other_jobs_out(store: Store) -> None:
    deploy = store.begin(entry("deploy"))
    ended(store, "nightly", 1)
    ended(store, "often", KEPT_OF_A_JOB + 50)

    assert store.attempts(9, jobs=False) == [deploy]
    assert len(store.attempts(9999, jobs=True)) == KEPT_OF_A_JOB + 1
    kept = [attempt.job for attempt in store.attempts(9999)]
    assert (kept.count("often"), kept.count("nightly"), kept.count("")) == (KEPT_OF_A_JOB, 1, 1)


def test_jobs_do_not_count_among_the_deploys_that_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slot_machine.state.history.KEPT_ATTEMPTS", 2)
    deploys = []
    for _ in range(3):
        deploys.append(store.begin(entry("deploy")))
        ended(store, "often", 5)
    assert store.attempts(9, jobs=False) == [deploys[2], deploys[1]]


def test_deploys_push_no_job_out(store: Store) -> None:
    ended(store, "nightly", 1)
    for _ in range(KEPT_ATTEMPTS + 5):
        store.begin(entry("deploy"))

    assert len(store.attempts(9999)) == KEPT_ATTEMPTS + 1


def test_jobs_that_are_gone_do_not_stay_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT_OF_JOBS > KEPT_OF_A_JOB
    monkeypatch.setattr("slot_machine.state.history.KEPT_OF_JOBS", 3)
    for number in range(6):
        ended(store, f"job-{number}", 1)

    assert [attempt.job for attempt in store.attempts(9)] == ["job-5", "job-4", "job-3"]


def test_an_entry_of_a_run_under_way_is_kept(store: Store) -> None:
    run = store.begin(entry(), NOW)
    ended(store, "nightly", KEPT_OF_A_JOB + 5)

    assert store.attempt(run.id) == run


def test_the_last_run_of_a_job_is_none_that_was_missed(store: Store) -> None:
    run = store.begin(entry(), NOW)
    store.begin(msgspec.structs.replace(entry(), result="missed", error="off"), NOW)

    assert store.last_run("nightly") == run
    assert store.last_run("often") is None
    missed = store.attempts(1)[0]
    assert (missed.result, missed.error) == ("missed", "off")


def test_an_entry_says_up_to_when_the_job_is_dealt_with(store: Store) -> None:
    store.save_followed({"nightly": Followed("0 3 * * *", "1"), "often": Followed("* * * * *", "1")})
    store.begin(entry(), NOW)
    store.begin(entry("deploy"))

    assert store.followed() == {"nightly": Followed("0 3 * * *", NOW), "often": Followed("* * * * *", "1")}
    store.save_followed({})
    assert store.followed() == {}


def test_a_run_under_way_is_left_to_the_next_daemon_until_its_result_is_known(store: Store) -> None:
    unborn, run = store.begin(entry("job", "often"), NOW), store.begin(entry(), NOW)
    store.save_under_way(run, RUN)
    store.interrupt_unfinished()

    (found,) = store.runs_under_way()
    assert found == (run, RUN)
    assert found[1].version.config == VERSION.config
    assert [attempt.result for attempt in store.attempts(9)] == ["running", "interrupted"]
    assert store.attempts(9)[1].id == unborn.id
    store.note(run)
    assert store.runs_under_way()
    store.save_attempt(msgspec.structs.replace(run, result="failed"))
    assert store.runs_under_way() == []


def test_a_migrated_database_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    columns = 'SELECT m.name, c.name, c.type, c."notnull", c.pk FROM sqlite_master m, pragma_table_info(m.name) c'
    with closing(sqlite3.connect(old, isolation_level=None)) as migrated, closing(sqlite3.connect(new)) as fresh:
        migrated.executescript(Path(__file__).with_name("schema_5.sql").read_text())
        migrated.execute("PRAGMA user_version = 5")
        prepare(migrated, old)
        fresh.executescript(SCHEMA)
        assert set(migrated.execute(columns)) == set(fresh.execute(columns))


def test_outputs_go_with_their_attempts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slot_machine.state.history.KEPT_ATTEMPTS", 2)
    for number in range(1, 4):
        store.begin(entry("deploy"))
        store.save_output(number, {"setup": b"%d" % number})

    assert [store.output(number) for number in range(1, 4)] == [{}, {"setup": "2"}, {"setup": "3"}]


def test_oldest_outputs_make_room_for_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slot_machine.state.outputs.MOST_BYTES", 2500)
    for number in range(1, 5):
        store.begin(entry("deploy"))
        store.save_output(number, {"setup": random.Random(number).randbytes(1000)})

    assert [bool(store.output(number)) for number in range(1, 5)] == [False, False, True, True]


def test_neither_a_note_nor_an_output_waits_for_the_disk(store: Store) -> None:
    attempt = store.begin(entry("deploy"))
    said: list[str] = []
    store._db.set_trace_callback(said.append)

    store.note(attempt)
    store.save_output(attempt.id, {"watch": b"two columns"})

    told = [words for words in said if words.startswith(("PRAGMA", "UPDATE", "REPLACE"))]
    assert [words.partition(" ")[2][:20] for words in told[::3]] == ["synchronous = NORMAL"] * 2
    assert [words.split()[0] for words in told[1::3]] == ["UPDATE", "REPLACE"]
    assert told[2::3] == ["PRAGMA synchronous = FULL"] * 2
