"""What the app has in its tree, moved to `shared` while programs may use it."""

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from spec.orchestrator import environment

from slot_machine.core.shared_paths import SharedPath
from slot_machine.host.files import links, mounts, moving, shared
from slot_machine.host.files.moving import InUse
from slot_machine.host.files.shared import Shared

FILE, FOLDER = SharedPath("app.db", "app.db", False), SharedPath("data", "data", True)

OPEN = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute(sys.argv[2]).fetchall()
print("open", flush=True)
sys.stdin.read()
"""

HOLD = """
import sys
file = open(sys.argv[1], "rb")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree-1").mkdir()
    return tmp_path / "tree-1"


@pytest.fixture
def folder(tree: Path) -> Shared:
    folder = Shared(tree.parent)
    folder.make()
    return folder


@contextmanager
def program(database: Path, statement: str = "SELECT count(*) FROM notes", script: str = OPEN) -> Iterator[None]:
    """Another process that has it open."""
    argv = [sys.executable, "-IS", "-c", script, str(database), statement]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"open\n"
        yield
        process.stdin.close()


def make(database: Path, mode: str = "DELETE") -> None:
    database.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        db.execute("CREATE TABLE notes (text)")
        db.execute("INSERT INTO notes VALUES ('by the app')")


def notes(database: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(database)) as db:
        return db.execute("SELECT text FROM notes").fetchall()


def names(where: Path) -> set[str]:
    return {path.name for path in where.iterdir()}


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("path", [FILE, FOLDER], ids=["file", "folder"])
def test_database_that_a_process_has_open_is_not_moved(tree: Path, folder: Shared, path: SharedPath, mode: str) -> None:
    database = tree / ("app.db" if path is FILE else "data/app.db")
    make(database, mode)

    with program(database), pytest.raises(InUse, match="has it open"):
        moving.hand_over(tree, path, folder)

    assert not folder.has(path)
    assert not (tree / path.place).is_symlink()
    moving.hand_over(tree, path, folder)
    assert (tree / path.place).resolve() == folder.target(path)
    assert notes(database) == [("by the app",)]


def test_database_in_a_transaction_is_not_moved_though_no_process_is_seen(
    tree: Path, folder: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes of others may be out of sight."""
    monkeypatch.setattr(shared, "open_databases", lambda _: [])
    make(tree / "app.db")

    with program(tree / "app.db", "BEGIN IMMEDIATE"), pytest.raises(InUse, match="a program uses it"):
        moving.hand_over(tree, FILE, folder)

    assert names(tree) == {"app.db"}
    assert names(folder.root) == set()


def test_database_that_is_opened_meanwhile_is_moved_back(
    tree: Path, folder: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tree / "app.db")
    exchanged = links.exchanged

    def while_opened(one: Path, other: Path) -> bool:
        if not one.is_symlink():
            stack.enter_context(program(one, script=HOLD))
        return exchanged(one, other)

    monkeypatch.setattr(links, "exchanged", while_opened)
    with ExitStack() as stack, pytest.raises(InUse):
        moving.hand_over(tree, FILE, folder)

    assert not (tree / "app.db").is_symlink()
    assert names(folder.root) == set()
    assert notes(tree / "app.db") == [("by the app",)]


def test_companions_go_with_their_database(tree: Path, folder: Shared) -> None:
    make(tree / "app.db")
    for suffix in ("-wal", "-shm", "-journal"):
        (tree / f"app.db{suffix}").write_text(suffix)

    moving.hand_over(tree, FILE, folder)

    assert names(tree) == {"app.db"}
    assert names(folder.root) == {"app.db", "app.db-wal", "app.db-shm", "app.db-journal"}


def test_companion_that_a_killed_daemon_left_is_no_part_of_the_database(tree: Path, folder: Shared) -> None:
    make(tree / "app.db")
    (folder.root / "app.db-wal").write_text("of a move that was not finished")

    moving.hand_over(tree, FILE, folder)

    assert names(folder.root) == {"app.db", "app.db-wal.unfinished-1"}
    assert notes(tree / "app.db") == [("by the app",)]


def test_file_system_that_cannot_exchange_names_loses_nothing(
    tree: Path, folder: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "data").mkdir()
    monkeypatch.setattr(links, "exchanged", lambda *_: False)

    with pytest.raises(OSError, match="can't exchange two names"):
        moving.hand_over(tree, FOLDER, folder)

    assert (tree / "data").is_dir()
    assert not (tree / "data").is_symlink()
    assert names(folder.root) == set()


def test_files_that_are_open_are_written_to_after_the_move(tree: Path, folder: Shared) -> None:
    (tree / "data").mkdir()
    with (tree / "data" / "upload").open("w") as file:
        moving.hand_over(tree, FOLDER, folder)
        file.write("by the app")
    assert (folder.root / "data" / "upload").read_text() == "by the app"


def test_neither_a_mount_nor_a_link_is_moved(tree: Path, folder: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "data").symlink_to("/elsewhere")
    with pytest.raises(OSError, match="a symlink to /elsewhere already"):
        moving.hand_over(tree, FOLDER, folder)
    (tree / "data").unlink()
    (tree / "data").mkdir()
    monkeypatch.setattr(mounts, "below", lambda _: [tree / "data" / "uploads"])
    with pytest.raises(OSError, match="is mounted"):
        moving.hand_over(tree, FOLDER, folder)
    assert names(folder.root) == set()


def test_links_of_a_moved_data_folder_are_set_again(tree: Path, folder: Shared) -> None:
    (tree / "data").symlink_to("/before/shared/data")

    shared.link(tree, FOLDER, folder.target(FOLDER))

    assert os.readlink(tree / "data") == str(folder.root / "data")


def test_link_never_takes_the_place_of_anything(tree: Path, folder: Shared) -> None:
    (tree / "data").write_text("a file")
    with pytest.raises(FileExistsError) as failed:
        shared.link(tree, FOLDER, folder.target(FOLDER))
    assert failed.value.errno == errno.EEXIST
    assert (tree / "data").read_text() == "a file"


def test_nothing_beyond_a_link_is_touched(tree: Path, folder: Shared) -> None:
    """The app put a link in place of a parent folder."""
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "uploads").symlink_to(folder.root / "public/uploads")
    (tree / "public").symlink_to(outside)
    path = SharedPath("public/uploads", "public/uploads", True)

    shared.unlink(tree, path)
    assert shared.found(tree, path) == "nothing"
    with pytest.raises(NotADirectoryError):
        shared.link(tree, path, folder.target(path))

    assert (outside / "uploads").is_symlink()
