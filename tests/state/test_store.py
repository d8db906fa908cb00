"""The database after a kill, a power cut and a damage: what it says is true, or it is refused."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slot_machine.core.errors import StartRefused, StateDamaged
from slot_machine.core.model import SLOTS, WEB, Attempt, Contents, Running, State, Version
from slot_machine.core.upstream import Address, Upstream
from slot_machine.host.files.capacity import Size
from slot_machine.host.process.proc import Identity
from slot_machine.state import seal
from slot_machine.state.history import KEPT_ATTEMPTS
from slot_machine.state.soundness import open_sound
from slot_machine.state.store import Store
from tests.database import TO_SCHEMA_5, opened

COMMITS = [digit * 40 for digit in "0123456789"]
STATES = [
    State(
        Version(SLOTS[number % 2], COMMITS[number], number % 3 + 1),
        Version(SLOTS[number % 2 - 1], COMMITS[number - 1], (number - 1) % 3 + 1),
        f"{number}",
    )
    for number in range(1, 10)
]

SCHEMA_1 = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), live_slot TEXT NOT NULL DEFAULT '',
    live_commit TEXT NOT NULL DEFAULT '', previous_slot TEXT NOT NULL DEFAULT '',
    previous_commit TEXT NOT NULL DEFAULT '', last_deploy_time TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE slots (name TEXT PRIMARY KEY, commit_hash TEXT NOT NULL, fingerprint TEXT NOT NULL) STRICT;
CREATE TABLE processes (pid INTEGER PRIMARY KEY, start_ticks INTEGER NOT NULL, boot_id TEXT NOT NULL) STRICT;
CREATE TABLE attempts (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, origin TEXT NOT NULL,
    commit_hash TEXT NOT NULL DEFAULT '', slot TEXT NOT NULL DEFAULT '', started_at TEXT NOT NULL,
    stage TEXT NOT NULL DEFAULT '', result TEXT NOT NULL DEFAULT 'running', error TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL DEFAULT 0, stage_seconds TEXT NOT NULL DEFAULT '{}') STRICT;
INSERT INTO state VALUES (1, 'a', 'c1', 'b', 'c0', 'then');
INSERT INTO attempts (kind, origin, started_at, result) VALUES ('deploy', 'cli', 'then', 'succeeded');
PRAGMA user_version = 1;
"""


def begin(store: Store, started_at: str = "2026-01-01T00:00:00.000Z") -> Attempt:
    return store.begin(Attempt(id=0, kind="deploy", trigger="api", started_at=started_at))


def deploy(store: Store, number: int) -> None:
    """The writes of a deploy."""
    attempt = begin(store)
    tree = STATES[number].spare_tree
    store.save_contents(tree, None)
    store.save_contents(tree, Contents(COMMITS[number], ""))
    store.save_state(STATES[number])
    attempt.result = "succeeded"
    store.save_attempt(attempt)


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a daemon that was killed: part of what it wrote is in the database, part in the write-ahead log."""
    folder = tmp_path_factory.mktemp("cut-off")
    with opened(folder / "live.db") as store:
        for number in range(8):
            deploy(store, number)
            if number == 4:
                with closing(sqlite3.connect(folder / "live.db")) as other:
                    other.execute("PRAGMA wal_checkpoint")
        for part in ("", "-wal", "-shm", ".seal"):
            shutil.copy(folder / f"live.db{part}", folder / f"state.db{part}", follow_symlinks=False)
    return folder


def copy_of(cut_off: Path, folder: Path) -> Path:
    for part in cut_off.glob("state.db*"):
        shutil.copy(part, folder, follow_symlinks=False)
    return folder / "state.db"


def true_or_refused(path: Path) -> bool:
    """Whether it opens; then it has to say what was saved last. What is refused is not touched."""
    before = contents(path)
    try:
        with opened(path) as store:
            assert store.state() == STATES[7]
            assert store.contents(STATES[7].spare_tree) == Contents(COMMITS[7], "")
    except StartRefused as refusal:
        refused = refusal
    else:
        return True
    assert "--rebuild-state" in refused.hint or "newer" in str(refused)
    assert contents(path) == before
    return False


def contents(path: Path) -> dict[str, bytes]:
    """Of its parts, as far as they have any; but not of the shared memory, which is made from the others."""
    parts = [path, path.with_name("state.db-wal")]
    return {part.name: part.read_bytes() for part in parts if part.exists() and part.stat().st_size}


def test_killed_daemon_leaves_a_database_that_opens(cut_off: Path, tmp_path: Path) -> None:
    assert true_or_refused(copy_of(cut_off, tmp_path))


@settings(max_examples=150)
@given(st.data())
def test_damage_anywhere_is_noticed_or_does_no_harm(
    cut_off: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = copy_of(cut_off, tmp_path_factory.mktemp("damaged"))
    damaged = path.with_name(data.draw(st.sampled_from(["state.db", "state.db-wal", "state.db-shm"])))
    content = bytearray(damaged.read_bytes())
    offset = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[offset:]
    else:
        garbage = data.draw(st.binary(min_size=1, max_size=64))
        content[offset : offset + len(garbage)] = garbage
    damaged.write_bytes(content)

    true_or_refused(path)


def test_letter_that_changed_is_noticed(cut_off: Path, tmp_path: Path) -> None:
    """SQLite has no checksum over what it stores."""
    path = copy_of(cut_off, tmp_path)
    with opened(path):
        pass
    path.write_bytes(path.read_bytes().replace(b"8" * 40, b"8" * 39 + b"9"))

    assert not true_or_refused(path)


def test_lost_changes_are_noticed(cut_off: Path, tmp_path: Path) -> None:
    path = copy_of(cut_off, tmp_path)
    path.with_name("state.db-wal").unlink()

    with pytest.raises(StateDamaged, match="has lost 9 of its 24 changes"):
        open_sound(path)


@pytest.mark.parametrize("gone", [["state.db"], ["state.db", "state.db-wal", "state.db-shm"]])
@pytest.mark.parametrize("emptied", [False, True])
def test_database_that_is_gone_is_not_begun_anew(cut_off: Path, tmp_path: Path, gone: list[str], emptied: bool) -> None:
    path = copy_of(cut_off, tmp_path)
    for name in gone:
        (tmp_path / name).unlink()
    if emptied:
        path.touch()

    assert not true_or_refused(path)


@pytest.mark.parametrize("trace", ["slot-a", "tree-3", "live"])
def test_slot_without_a_database_is_not_forgotten(tmp_path: Path, trace: str) -> None:
    (tmp_path / trace).mkdir()

    with pytest.raises(StateDamaged, match=trace):
        open_sound(tmp_path / "state.db")

    assert [entry.name for entry in tmp_path.iterdir()] == [trace]


def test_database_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()

    with pytest.raises(StartRefused, match="cannot open") as refused:
        open_sound(tmp_path / "state.db")

    assert not isinstance(refused.value, StateDamaged)


KILLED_AT_EACH_STEP = """
import os, signal, sqlite3, sys
from pathlib import Path
from tests.state import test_store

connect, left = sqlite3.connect, 0

class Killed(sqlite3.Connection):
    def execute(self, *arguments):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*arguments)

sqlite3.connect = lambda *args, **kwargs: connect(*args, factory=Killed, **kwargs)
scene = getattr(test_store, sys.argv[2])
for step in range(1, 1000):
    folder = Path(sys.argv[1]) / str(step)
    folder.mkdir()
    pid = os.fork()
    if pid == 0:
        left = step
        scene(folder)
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        break
"""


def killed_at_each_step(scene: str, folder: Path) -> list[Path]:
    """Plays a scene in as many folders as it has steps in the database, with a SIGKILL before each."""
    subprocess.run([sys.executable, "-c", KILLED_AT_EACH_STEP, folder, scene], check=True)
    return sorted(folder.iterdir(), key=lambda path: int(path.name))


def two_deploys(folder: Path) -> None:
    journal = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with opened(folder / "state.db") as store:
        for number in range(2):
            os.write(journal, b"saving\n")
            deploy(store, number)
            os.write(journal, b"saved\n")


def test_kill_at_any_step(tmp_path: Path) -> None:
    folders = killed_at_each_step("two_deploys", tmp_path)

    assert len(folders) > 30
    for folder in folders:
        journal = (folder / "journal").read_text()
        possible = [State(), *STATES][journal.count("saved") : journal.count("saving") + 1]
        with opened(folder / "state.db") as store:
            assert store.state() in possible


def old_database(folder: Path) -> Path:
    with closing(connect_unpatched(folder / "state.db")) as db:
        db.executescript(SCHEMA_1)
    return folder / "state.db"


def connect_unpatched(path: Path) -> sqlite3.Connection:
    return sqlite3.Connection(path)


def migration(folder: Path) -> None:
    with opened(old_database(folder)):
        pass


def test_migration_killed_at_any_step_is_done_by_the_next_start(tmp_path: Path) -> None:
    folders = killed_at_each_step("migration", tmp_path)

    assert len(folders) > 10
    for folder in folders:
        with opened(folder / "state.db") as store:
            assert store.state() == State(Version("a", "c1", 1), Version("b", "c0", 2), "then")
            assert [attempt.result for attempt in store.attempts(9)] == ["succeeded"]
        with closing(sqlite3.connect(folder / "state.db.schema-1")) as copy:
            assert copy.execute("PRAGMA user_version").fetchone() == (1,)
            assert copy.execute("SELECT live_commit FROM state").fetchone() == ("c1",)


SCHEMA_4 = """
ALTER TABLE attempts RENAME COLUMN trigger TO origin;
ALTER TABLE processes DROP COLUMN release_id;
ALTER TABLE processes DROP COLUMN run;
INSERT INTO attempts (kind, origin, started_at, result) VALUES ('deploy', 'cli', 'then', 'succeeded');
INSERT INTO processes VALUES (7, 700, 'boot', 'mark', '/cgroup', 'app',
    '{"version":{"slot":"a","commit":"c1","tree":3},"number":4503599627370497,"port":1,"internal_port":2,
      "upstream":{"id":4503599627370497,"slot":"a","addresses":{"public":{"host":"127.0.0.1","port":1}}}}');
INSERT INTO processes VALUES (8, 800, 'boot', '', '', 'setup', 'null');
PRAGMA user_version = 4;
"""


def test_processes_and_history_of_schema_4_are_migrated(tmp_path: Path) -> None:
    with opened(tmp_path / "state.db") as store:
        store.save_state(STATES[7])
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        db.executescript(TO_SCHEMA_5 + SCHEMA_4)
        seal.write(seal.path_of(tmp_path / "state.db"), Store(db, tmp_path / "state.db").seal())

    with opened(tmp_path / "state.db") as store:
        setup, app = store.processes()
        assert store.state() == STATES[7]
        assert [attempt.trigger for attempt in store.attempts(9)] == ["cli"]
    run_id = 2**52 + 1
    upstream = Upstream(run_id, "a", {"public": Address("127.0.0.1", 1)})
    running = Running(Version("a", "c1", 3), run_id, 1, 2, upstream)
    assert app == (Identity(7, 700, "boot", "mark", "/cgroup"), "app", run_id, WEB, running)
    assert setup == (Identity(8, 800, "boot"), "setup", 0, "", None)
    assert (tmp_path / "state.db.schema-4").exists()


@pytest.mark.parametrize("column", ["result", "stage_seconds", "requests"])
def test_damage_in_the_history_of_schema_4_is_noticed(tmp_path: Path, column: str) -> None:
    with opened(tmp_path / "state.db"):
        pass
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        db.executescript(TO_SCHEMA_5 + SCHEMA_4)
        db.execute(f"UPDATE attempts SET {column} = 'garbage'")
        db.commit()

    with pytest.raises(StateDamaged):
        open_sound(tmp_path / "state.db")


def test_runs_of_one_release_are_saved_side_by_side(tmp_path: Path) -> None:
    running = Running(Version("a", COMMITS[0], 1), 5, 0, 0)
    with opened(tmp_path / "state.db") as store:
        store.save_process(Identity(7, 100, "boot"), "app", 4, WEB, running)
        store.save_process(Identity(8, 200, "boot"), "app", 4, "worker", running)

    with opened(tmp_path / "state.db") as store:
        assert [(row.release_id, row.run, row.running) for row in store.processes()] == [
            (4, "worker", running),
            (4, WEB, running),
        ]


def test_size_is_forgotten_once_another_version_is_live_in_the_tree(tmp_path: Path) -> None:
    """It may be that of what a failed deploy left there."""
    live, previous = Version("a", COMMITS[0], 1), Version("b", COMMITS[1], 2)
    with opened(tmp_path / "state.db") as store:
        for version in (live, previous):
            store.save_size(version.tree, Size(0, 1))
        store.begin_tree(live.tree, 1)
        assert store.size(live.tree) == Size(0, 1)

        store.save_state(State(live, previous, "then"))

        assert (store.size(live.tree), store.size(previous.tree)) == (None, Size(0, 1))
        assert store.begun_ns(live.tree) == 0


def test_process_with_a_number_that_was_used_again_is_another(tmp_path: Path) -> None:
    with opened(tmp_path / "state.db") as store:
        first, second = Identity(7, 100, "boot"), Identity(7, 200, "boot")
        store.save_process(second, "app")

        store.remove_process(first)
        assert [recorded.identity for recorded in store.processes()] == [second]

        store.remove_process(second)
        assert store.processes() == []


def test_history_is_pruned_by_count_and_age(tmp_path: Path) -> None:
    with opened(tmp_path / "state.db") as store:
        rows = [("deploy", "api", "2020-01-01T00:00:00.000Z")] * 300 + [
            ("deploy", "api", "2026-01-01T00:00:00.000Z")
        ] * (KEPT_ATTEMPTS - 100)
        with closing(sqlite3.connect(tmp_path / "state.db")) as db, db:
            db.executemany("INSERT INTO attempts (kind, trigger, started_at) VALUES (?, ?, ?)", rows)

        begin(store, "2020-02-01T00:00:00.000Z")
        assert len(store.attempts(5000)) == KEPT_ATTEMPTS
        begin(store, "2026-02-01T00:00:00.000Z")
        assert {attempt.started_at[:4] for attempt in store.attempts(5000)[2:]} == {"2026"}

        newest = begin(store, "2099-01-01T00:00:00.000Z")
        assert len(store.attempts(5000)) == 100
        assert store.attempts(1) == [newest]
