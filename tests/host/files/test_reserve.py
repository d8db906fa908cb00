"""The room that is left on a full disk, and what is taken back from a deploy that failed."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from slot_machine.core.model import Contents
from slot_machine.host.files import databases, reserve
from slot_machine.host.files.capacity import Size
from slot_machine.host.files.reclaim import NEW_TREE_NS, begin, reclaim
from slot_machine.host.files.reserve import Reserve
from slot_machine.state.store import Store
from tests.database import opened


def fill(store: Store, monkeypatch: pytest.MonkeyPatch, room: bool) -> None:
    """The database can't grow any more, unless there is a reserve to give up."""
    db = store._db
    db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")

    def give_up(_: Reserve) -> bool:
        nonlocal room
        db.execute("PRAGMA max_page_count = 1000000")
        given, room = room, False
        return given

    monkeypatch.setattr(Reserve, "give_up", give_up)


@pytest.mark.parametrize("room", [True, False])
def test_database_that_cannot_grow_takes_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    large = Contents("c" * 40, "x" * 100_000)
    with opened(tmp_path / "state.db") as store:
        fill(store, monkeypatch, room)
        if not room:
            with pytest.raises(sqlite3.OperationalError, match="full"):
                store.save_contents(1, large)
            return

        store.save_contents(1, large)

        assert store.contents(1) == large


def test_other_errors_cost_no_reserve(tmp_path: Path) -> None:
    held = Reserve(tmp_path)
    held.path.touch()

    for code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CORRUPT):
        error = sqlite3.OperationalError()
        error.sqlite_errorcode = code
        assert not held.saves(error)

    assert held.path.exists()


def test_reserve_is_only_made_where_there_is_much_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Size(reserve.FREE_FOR_ONE_BYTES - 1, 100)
    monkeypatch.setattr(reserve, "free", lambda _: room)
    held = Reserve(tmp_path)
    held.make()
    assert not held.path.exists()

    room = Size(reserve.FREE_FOR_ONE_BYTES, 100)
    held.make()
    assert held.path.stat().st_blocks * 512 >= reserve.RESERVE_BYTES

    held.give_up_if_full()
    assert held.path.exists()
    room = Size(reserve.FULL_BYTES - 1, 100)
    held.give_up_if_full()
    assert not held.path.exists()


def test_room_of_the_log_is_not_lost_when_the_database_is_closed(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state.db")
    store.take_room()
    assert (tmp_path / "state.db-wal").stat().st_blocks * 512 >= reserve.LOG_BYTES
    store.save_contents(1, Contents("c", ""))
    store.reserve.give_up()

    store.close()

    assert (tmp_path / "reserve").stat().st_blocks * 512 >= reserve.LOG_BYTES
    with opened(tmp_path / "state.db") as again:
        assert again.contents(1) == Contents("c", "")


@pytest.mark.parametrize("full", [False, True])
def test_shared_memory_gets_its_room_first_and_from_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    """On a full disk, a write into a hole of it would end the daemon with SIGBUS."""
    asked = list[str]()

    def fallocate(fd: int, _offset: int, _size: int) -> None:
        asked.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        if full and store.reserve.path.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with opened(tmp_path / "state.db") as store:
        store.reserve.path.touch()
        monkeypatch.setattr(os, "posix_fallocate", fallocate)
        store.take_room()

    assert asked[:2] == (["state.db-shm"] * 2 if full else ["state.db-shm", "state.db-wal"])


def test_failed_allocation_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")

    with pytest.raises(OSError, match="Errno"):
        reserve.allocate(path, 1 << 60)

    assert path.read_text() == "kept"


def put(tree: Path, *names: str) -> None:
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)


def left(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}


def after(moment_ns: int, tree: Path) -> None:
    """Waits until the file system's clock, which ticks every few ms, has gone on."""
    while begin(tree) <= moment_ns:
        pass


def test_what_was_written_before_stays(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    put(tree, ".git", "upload", "ignored/upload", "changed", "node_modules/x/old", "web/node_modules/y")
    after(begin(tree), tree)
    begun_ns = begin(tree)
    put(tree, ".git", "junk", "ignored/junk", "changed", "node_modules/x/new", "vendor/bundle/gem")
    (tree / "link").symlink_to("upload")

    reclaim(tree, begun_ns)

    assert left(tree) == {".git", "upload", "ignored/upload", "web/node_modules/y"}


def test_what_a_failed_setup_found_is_not_taken_back(tmp_path: Path) -> None:
    """It may run `chmod -R`, and migrate a database."""
    tree = tmp_path / "tree"
    put(tree, "upload", "app.db", "app.db-wal")
    after(begin(tree), tree)
    begun_ns = begin(tree)
    put(tree, "junk")
    (tree / "upload").chmod(0o640)
    (tree / "app.db").write_bytes(databases.MAGIC + b"migrated")
    put(tree, "app.db-wal")

    reclaim(tree, begun_ns)

    assert left(tree) == {"upload", "app.db", "app.db-wal"}


def test_all_was_written_into_a_tree_that_was_not_there(tmp_path: Path) -> None:
    assert begin(tmp_path / "tree") == NEW_TREE_NS
    put(tmp_path / "tree", ".git", "app", ".venv/lib/x")

    reclaim(tmp_path / "tree", NEW_TREE_NS)

    assert left(tmp_path / "tree") == {".git"}
    assert os.listdir(tmp_path / "tree") == [".git"]
