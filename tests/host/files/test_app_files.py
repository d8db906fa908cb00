"""What is in a tree and in no commit: whose it is, and how it is kept."""

import asyncio
import errno
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.core.model import Made
from slot_machine.host.files import databases, kept
from slot_machine.host.files.app_files import is_data
from slot_machine.host.files.kept import Kept
from slot_machine.host.git.listing import unquoted
from tests.host.files.tree import Tree
from tests.repository import Repository, nest


def test_what_the_setup_made_and_nobody_changed_is_not_kept(tree: Tree) -> None:
    commit = tree.repository.commit({"app": "1", "lock": "1"})
    tree.checkout(commit)
    tree.set_up("built/page", "changed", "lock")
    tree.repository.leave("upload")
    (tree.path / "changed").write_text("by the app")

    assert tree.checkout(tree.repository.commit({"app": "2", "lock": "1"})) == {"upload", "changed"}

    assert tree.repository.left() == {"app", "lock"}
    assert (tree.kept / "changed").read_text() == "by the app"


@pytest.mark.parametrize(("depth", "name"), [(19, "x" * 200), (50, "x" * 200), (1500, "x")])
def test_what_lies_too_deep_is_kept_with_the_folder_at_the_top(tree: Tree, depth: int, name: str) -> None:
    """Deeper than a path leads, almost so deep, or in more folders than a call may be nested."""
    tree.checkout(tree.repository.commit({"app": "1", "deep/tracked": "1"}))
    nest(tree.path / "deep" / "er", depth, name)
    tree.repository.leave("deep/upload", "other")

    tree.checkout(tree.repository.commit({"app": "2", "deep/tracked": "2"}))

    assert tree.repository.left() == {"app", "deep/tracked"}
    assert (tree.path / "deep" / "tracked").read_text() == "2"
    assert (tree.kept / "deep" / "upload").exists()
    assert (tree.kept / "other").exists()


def test_unfinished_setup_made_all_that_git_does_not_ignore(tree: Tree) -> None:
    tree.checkout(tree.repository.commit({"app": "1", ".gitignore": "*.db\n"}))
    tree.made = Made(unfinished=True)
    tree.repository.leave("junk", "app", "x.db")

    assert tree.checkout(tree.repository.commit({"app": "2", "x.db": "", ".gitignore": ""})) == {"x.db"}


def test_unknown_setup_made_nothing(tree: Tree) -> None:
    commit = tree.repository.commit({"app": "1"})
    tree.checkout(commit)
    tree.repository.leave("perhaps")

    assert tree.checkout(commit) == {"perhaps"}


def test_what_a_checkout_would_overwrite(tree: Tree) -> None:
    files = {"app": "1", ".gitignore": "ignored\nfolder\nlink\n", "old": "1"}
    tree.checkout(tree.repository.commit(files))
    tree.repository.leave("ignored", "folder/x", "other", "app")
    (tree.path / "link").symlink_to("app")

    files = {"app": "2", "ignored": "1", "folder": "1", "link/x": "1", "other": "1", "old/x": "1", ".gitignore": ""}
    assert tree.checkout(tree.repository.commit(files)) == {"ignored", "folder/x", "link", "other", "app"}

    assert tree.repository.left() == {"app", "ignored", "folder", "link/x", "other", "old/x", ".gitignore"}


def test_what_the_next_commit_ignores_no_more(tree: Tree) -> None:
    tree.checkout(tree.repository.commit({"app": "1", ".gitignore": "data\nstays\n"}))
    tree.repository.leave("data/x", "stays")

    assert tree.checkout(tree.repository.commit({"app": "1", ".gitignore": "stays\n"})) == {"data"}

    assert (tree.path / "stays").exists()


def test_folder_that_became_a_link_is_not_followed(tree: Tree, tmp_path: Path) -> None:
    commit = tree.repository.commit({"uploads/.keep": "", "app": "1"})
    tree.checkout(commit)
    (tmp_path / "shared").mkdir()
    (tree.path / "uploads").rename(tmp_path / "shared" / "uploads")
    (tree.path / "uploads").symlink_to(tmp_path / "shared" / "uploads")
    (tmp_path / "shared" / "uploads" / "picture").write_text("mine")

    assert tree.checkout(commit) == {"uploads"}

    assert {path.name for path in (tmp_path / "shared" / "uploads").iterdir()} == {".keep", "picture"}


def test_files_of_every_kind(tree: Tree) -> None:
    commit = tree.repository.commit({"app": "1"})
    tree.checkout(commit)
    os.mkfifo(tree.path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tree.path / "socket"))
    subprocess.run(["git", "init", "--quiet", tree.path / "nested"], check=True)
    (tree.path / "nested" / "file").write_text("mine")
    (tree.path / "dangling").symlink_to("nowhere")
    tree.repository.leave("node_modules/x", "pkg/__pycache__/x.pyc")

    assert tree.checkout(commit) == {"nested", "dangling"}

    assert (tree.kept / "nested" / "file").read_text() == "mine"


def test_tracked_file_that_became_a_fifo_does_not_hang(tree: Tree) -> None:
    tree.checkout(tree.repository.commit({"app": "1"}))
    (tree.path / "app").unlink()
    os.mkfifo(tree.path / "app")

    assert asyncio.run(tree.app_files().edits()) == ["app"]


def test_removed_file_is_an_edit_unless_the_setup_removed_it(tree: Tree, tmp_path: Path) -> None:
    tree.checkout(tree.repository.commit(dict.fromkeys(("app", "lock", "lib/x", "data.bin"), "1")))
    (tree.path / "lock").unlink()
    tree.set_up("built")
    (tree.path / "app").unlink()
    (tree.path / "lib").rename(tmp_path / "lib")
    (tree.path / "lib").symlink_to(tmp_path / "lib")
    (tree.path / "data.bin").write_bytes(b"\0")

    assert asyncio.run(tree.app_files().edits()) == ["app", "lib/x"]
    assert asyncio.run(tree.app_files().data_changed())


def test_tree_that_is_no_worktree_any_more_is_kept_as_it_is(tree: Tree) -> None:
    commit = tree.repository.commit({"app": "1"})
    tree.checkout(commit)
    tree.repository.leave("upload", "node_modules/x")
    (tree.path / ".git").unlink()

    assert tree.checkout(commit) == {"app", "upload"}

    assert tree.repository.left() == {"app"}


def test_edits_are_kept_where_git_cannot_compare(tree: Tree) -> None:
    """As when the commit that is checked out was lost. A checkout of another one goes through."""
    tree.checkout(tree.repository.commit({"app": "1", "data": "1", ".gitignore": "ignored\n"}))
    tree.repository.leave("data", "upload", "ignored", "node_modules/x")
    git_dir = tree.repository.path / ".git" / "worktrees" / "tree-1"
    (git_dir / "HEAD").write_text("1" * 40 + "\n")

    assert tree.checkout(tree.repository.commit({"app": "2", "data": "2"})) >= {"data", "upload", "ignored"}

    assert (tree.kept / "data").read_text() == "left"


def test_submodule_keeps_what_was_written_into_it(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text('[protocol "file"]\nallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    (tmp_path / "module").mkdir()
    module = Repository(tmp_path / "module")
    module.commit({"lib": "1"})
    without = tree.repository.commit({"app": "1"})
    tree.repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(module.path), "sub")
    tree.repository.git("commit", "--quiet", "--message", "submodule")
    commit = tree.repository.git("rev-parse", "HEAD")
    assert tree.checkout(commit) == set()
    assert tree.checkout(commit) == set()
    tree.repository.leave("sub/upload", "sub/lib")

    assert tree.checkout(commit) == {"sub/upload", "sub/lib"}

    assert (tree.path / "sub" / "lib").read_text() == "1"
    assert tree.checkout(without) == set()
    assert not (tree.path / "sub").exists()

    tree.repository.git("config", "submodule.sub.update", "none")
    tree.checkout(commit)
    tree.repository.leave("sub/upload")
    assert tree.checkout(commit) == {"sub/upload"}


def test_database_goes_with_its_log(tree: Tree) -> None:
    """A log that stays behind would be played back into the commit's own database."""
    files = {"app.db": "1", ".gitignore": "*-wal\n"}
    tree.checkout(tree.repository.commit(files))
    tree.repository.leave("app.db", "app.db-wal")

    tree.checkout(tree.repository.commit(files | {"app.db": "2"}))

    assert (tree.kept / "app.db-wal").read_text() == "left"
    assert tree.repository.left() == {"app.db", ".gitignore"}


def test_folder_of_the_app_alone_is_moved_as_one(tree: Tree) -> None:
    commit = tree.repository.commit({"app": "1", "mixed/tracked": "1", ".gitignore": "*.tmp\n"})
    tree.checkout(commit)
    tree.set_up("built/page")
    tree.repository.leave("uploads/sub/x", "uploads/y", "mixed/x", "mixed/own/x", "built/x", "part/x", "part/x.tmp")
    tree.repository.leave("gone/__pycache__/x.pyc")

    assert tree.checkout(commit) == {"uploads", "mixed/x", "mixed/own", "built/x", "part/x"}

    assert (tree.kept / "uploads" / "sub" / "x").exists()
    assert (tree.path / "part" / "x.tmp").exists()


def test_ignored_data_is_the_apps_though_setups_ran_over_it(tree: Tree) -> None:
    """Whether it finished or not; and when git ignores it no more."""
    commit = tree.repository.commit({"app": "1", ".gitignore": "data\nbuilt\n"})
    tree.checkout(commit)
    tree.repository.leave("data/x")
    tree.set_up("data/x", "built/page")

    assert tree.checkout(tree.repository.commit({"app": "2"})) == {"data"}

    tree.checkout(commit)
    tree.repository.leave("data/x")
    tree.made = Made(unfinished=True)
    tree.repository.leave("junk")

    assert tree.checkout(tree.repository.commit({"app": "3"})) == {"data/x"}
    assert (tree.path / "junk").exists() is False


def test_unfinished_setup_did_not_make_what_is_older(tree: Tree) -> None:
    tree.checkout(tree.repository.commit({"app": "1"}))
    tree.repository.leave("older")
    tree.made = Made(unfinished=True)
    tree.begun_ns = (tree.path / "older").stat().st_ctime_ns + 1

    def is_newer() -> bool:
        tree.repository.leave("junk")
        return tree.begun_ns < (tree.path / "junk").stat().st_ctime_ns

    wait_until("time has passed", is_newer)

    assert tree.checkout(tree.repository.commit({"app": "2"})) == {"older"}


def test_what_an_earlier_setup_made_is_its_own_after_a_failed_one(tree: Tree) -> None:
    tree.checkout(tree.repository.commit({"app": "1", ".gitignore": "built\n"}))
    tree.repository.leave("built", "older")
    built = (tree.path / "built").stat()
    tree.made = Made({b"built": (built.st_size, built.st_mtime_ns)}, unfinished=True)
    tree.begun_ns = built.st_ctime_ns + 10**12

    assert tree.checkout(tree.repository.commit({"app": "2", ".gitignore": ""})) == {"older"}


WRITE = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE IF NOT EXISTS notes (text)")
db.execute("INSERT INTO notes VALUES ('mine')")
db.commit()
os._exit(0)
"""


@pytest.mark.parametrize("ignored", ["*.db\n", "*-wal\n*-shm\n", "*.db\n*-shm\n", ""])
@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("moment", ["in use", "checkout"])
def test_database_and_its_log_stay_together(tree: Tree, ignored: str, tracked: bool, moment: str) -> None:
    """Whichever of them git ignores, and though its log alone has changed. What is committed is in the log."""
    commit = tree.repository.commit({"app": "1", ".gitignore": ignored})
    if tracked:
        subprocess.run([sys.executable, "-c", WRITE, tree.repository.path / "app.db"], check=True)
        with closing(sqlite3.connect(tree.repository.path / "app.db")) as db, db:
            db.execute("DELETE FROM notes")
        tree.repository.git("add", "--force", "app.db")
        tree.repository.git("commit", "--quiet", "--message", "database")
        commit = tree.repository.git("rev-parse", "HEAD")
    tree.checkout(commit)
    subprocess.run([sys.executable, "-c", WRITE, tree.path / "app.db"], check=True)

    if moment == "in use":
        names = asyncio.run(tree.app_files().in_use())
        kept.move(tree.path, names, tree.kept, [])
    tree.checkout(tree.repository.commit({"app": "2", ".gitignore": ignored}))

    (place,) = (folder for folder in (tree.kept, tree.path) if (folder / "app.db").exists())
    with closing(sqlite3.connect(place / "app.db")) as db:
        assert db.execute("SELECT text FROM notes").fetchall() == [("mine",)]


def test_log_of_another_database_is_not_played_back(tree: Tree) -> None:
    tree.checkout(tree.repository.commit({"app": "1", ".gitignore": "*-wal\n"}))
    tree.repository.leave("new.db-wal")

    assert tree.checkout(tree.repository.commit({"new.db": "1", ".gitignore": "*-wal\n"})) == {"new.db-wal"}


def test_nothing_kept_is_overwritten_and_no_link_is_followed(tree: Tree, tmp_path: Path) -> None:
    moved: list[str] = []
    tree.path.mkdir()
    (tmp_path / "outside").mkdir()
    for _ in range(2):
        tree.repository.leave("file", "file-wal")
        (tree.path / "link").symlink_to(tmp_path / "outside")
        kept.move(tree.path, ["file", "link"], tree.kept, moved)
    tree.repository.leave("link/x", "file/x")
    kept.move(tree.path, ["link/x", "file/x"], tree.kept, moved)

    assert moved == ["file", "link", "file", "link", "link/x", "file/x"]
    assert not os.listdir(tmp_path / "outside")
    left = {str(path.relative_to(tree.kept)) for path in tree.kept.rglob("*") if path.is_file()}
    assert left == {"file", "file-wal", "2/file", "2/file-wal", "3/link/x", "3/file/x"}


def test_other_file_systems(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket and a FIFO hold nothing that could be kept; nothing waits for their other end."""

    def refused(*_: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    tree.path.mkdir()
    tree.repository.leave("folder/x", "file")
    (tree.path / "folder" / "link").symlink_to("nowhere")
    os.mkfifo(tree.path / "folder" / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tree.path / "socket"))
    monkeypatch.setattr(os, "rename", refused)

    kept.move(tree.path, ["folder", "file", "socket"], tree.kept, [])

    assert {path.name for path in tree.kept.rglob("*")} == {"folder", "x", "link", "file"}
    assert not os.listdir(tree.path)


def test_full_disk_costs_the_reserve(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.checkout(tree.repository.commit({"app": "1"}))
    tree.repository.leave("x", "y")
    reserve = tree.path.parent / "reserve"
    reserve.touch()
    mkdir = os.mkdir

    def while_full(path: str, mode: int = 0o777) -> None:
        if Path(path).is_relative_to(tree.kept) and reserve.exists():
            raise OSError(errno.ENOSPC, "full")
        mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", while_full)

    assert tree.checkout(tree.repository.commit({"app": "2"})) == {"x", "y"}


def test_many_or_long_names_are_not_all_said() -> None:
    assert kept.in_words([str(number) for number in range(3000)]).endswith("4 and 2995 more")
    assert len(kept.in_words(["x" * 4000] * 9)) < 1100


TREE = """
import sys
from pathlib import Path
from tests.host.files.tree import Tree
from tests.repository import Repository
tree = Tree(Repository(Path(sys.argv[1]), new=False))
print(*sorted(tree.checkout(sys.argv[2])))
"""


def checkout_as_nobody(folder: Path, commit: str) -> str:
    """What was kept. Folders that may not be read do not keep out root."""
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o755)
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", TREE]
    env = {**os.environ, "HOME": str(folder)}
    done = subprocess.run([*argv, str(folder), commit], check=True, env=env, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="takes root to become somebody else")
@pytest.mark.parametrize(("owner", "kept"), [(65534, "lone own/below own/y tracked"), (0, "own/y tree-1 as a whole")])
def test_folders_that_may_not_be_read(tree: Tree, tmp_path: Path, owner: int, kept: str) -> None:
    """Those that are ours are moved. Those that are not can't be, so it is the tree that is."""
    tree.checkout(tree.repository.commit({"app": "1", "tracked/.keep": ""}))
    tree.repository.leave("own/below/x", "own/y", "tracked/x", "lone/x")
    commit = tree.repository.commit({"app": "2", "tracked/.keep": ""})
    subprocess.run(["chown", "-R", "65534:65534", tmp_path], check=True)
    for name in ("own/below", "tracked", "lone"):
        os.chown(tree.path / name, owner, owner)
        (tree.path / name).chmod(0o000)

    assert checkout_as_nobody(tmp_path, commit) == kept

    assert (tree.kept / "own" / "y").exists()
    place = tree.kept if owner else tree.kept / tree.path.name
    for name in ("own/below/x", "tracked/x", "lone/x"):
        assert (place / name).exists()
    assert tree.repository.left() == {"app", "tracked/.keep"}


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="takes root to become somebody else")
def test_folders_that_may_not_be_written_to(tree: Tree, tmp_path: Path) -> None:
    tree.checkout(tree.repository.commit({"app": "1", "tracked/.keep": ""}))
    tree.repository.leave("tracked/x", "whole/x")
    commit = tree.repository.commit({"app": "2", "tracked/.keep": ""})
    subprocess.run(["chown", "-R", "65534:65534", tmp_path], check=True)
    for name in ("tracked", "whole"):
        (tree.path / name).chmod(0o500)

    assert checkout_as_nobody(tmp_path, commit) == "tracked/x whole"

    assert (tree.kept / "tracked" / "x").exists()
    assert (tree.kept / "whole" / "x").exists()


def test_data_is_what_no_person_wrote(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content, mode, expected in ((b"a\0b", 0o644, True), (b"a\0b", 0o755, False), (b"text", 0o644, False)):
        path.write_bytes(content)
        path.chmod(mode)
        assert is_data(path) is expected
    assert not is_data(tmp_path)
    assert not is_data(tmp_path / "gone")


def test_name_as_git_prints_it() -> None:
    assert unquoted('"a\\nb\\303\\274\\351\\"\\\\"') == 'a\nbü\udce9"\\'
    assert unquoted("folder/") == "folder"


def folders(root: Path, *sizes: int) -> Kept:
    for number, size in enumerate(sizes):
        folder = root / "kept" / str(number)
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * size)
        os.utime(folder, (number, number))
    return Kept(root)


def pruned(kept: Kept, latest: int) -> list[str]:
    removed: list[str] = []
    kept.prune(kept.root / str(latest), removed)
    return removed


def test_oldest_go_beyond_a_number(tmp_path: Path) -> None:
    assert pruned(folders(tmp_path, *[1] * (kept.MOST_FOLDERS + 2)), kept.MOST_FOLDERS + 1) == ["1", "0"]
    assert len(list((tmp_path / "kept").iterdir())) == kept.MOST_FOLDERS


def test_oldest_go_beyond_a_size_but_never_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 60_000)
    assert pruned(folders(tmp_path, 1, 1, 50_000, 1), 3) == ["1", "0"]
    monkeypatch.setattr(kept, "MOST_BYTES", 1)
    assert pruned(Kept(tmp_path), 2) == ["3"]


def test_folder_of_its_own_for_each_occasion(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        folder = Kept(tmp_path).new_folder("a")
        folder.mkdir(parents=True)
        names.add(folder.name)
    assert len(names) == 3


def test_fifo_that_takes_a_databases_place_is_not_read(tmp_path: Path) -> None:
    """Whoever opens one waits for its writer: the app, which could hold up the deploy for ever."""
    os.mkfifo(tmp_path / "db")
    writer = os.open(tmp_path / "db", os.O_RDWR)
    os.write(writer, databases.MAGIC)
    try:
        with pytest.raises(OSError, match="it is a FIFO"):
            databases.begins_as_one(str(tmp_path / "db"))
    finally:
        os.close(writer)


def test_databases_are_compared_and_packages_are_not_looked_at(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for tree in (old, new):
        for name in ("same", "other", "node_modules/x"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(databases.MAGIC.ljust(512, b"1"))
    (new / "other").write_bytes(databases.MAGIC.ljust(512, b"2"))
    (old / "var").mkdir()
    (old / "var" / "gone").write_bytes(databases.MAGIC.ljust(1024))
    (old / "text").write_bytes(b"x" * 512)
    (old / "linked").symlink_to("var/gone")
    (old / "node_modules" / "y").write_bytes(databases.MAGIC.ljust(512))

    assert databases.forked(old, new) == ["other", "var/gone"]
