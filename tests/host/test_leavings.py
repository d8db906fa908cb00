"""What is in a tree and in no commit: whose it is, and how it is kept."""

import asyncio
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from slot_machine.core.model import Made
from slot_machine.host import databases, kept
from slot_machine.host.kept import Kept
from slot_machine.host.leavings import Leavings, is_data, unquoted
from tests.host.test_gitdir import nest
from tests.host.test_worktrees import Repository, repository

__all__ = ["repository"]


class Tree:
    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.path = repository.slot
        self.made = Made()
        self.kept = repository.slot.parent / "kept" / "x"
        self.moved: list[str] = []

    def leavings(self) -> Leavings:
        return Leavings(self.repository.worktrees.try_git, self.path, self.made)

    def set_up(self) -> None:
        self.made = asyncio.run(self.leavings().of_setup())

    def checkout(self, commit: str) -> set[str]:
        """Returns what was kept."""
        self.moved = []
        self._checkout = self.leavings()
        asyncio.run(self.repository.worktrees.checkout(1, commit, self))
        return set(self.moved)

    async def before(self, commit: str) -> None:
        kept.move(self.path, await self._checkout.before(commit), self.kept, self.moved)

    async def after(self) -> None:
        kept.move(self.path, await self._checkout.after(), self.kept, self.moved)

    async def everything(self) -> None:
        kept.move(self.path, await self._checkout.everything(), self.kept, self.moved)


@pytest.fixture
def tree(repository: Repository) -> Tree:
    return Tree(repository)


def test_what_the_setup_made_and_nobody_changed_is_not_kept(tree: Tree) -> None:
    commit = tree.repository.commit({"app": "1", "lock": "1"})
    tree.checkout(commit)
    tree.repository.leave("built/page", "changed", "lock")
    tree.set_up()
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

    assert tree.checkout(tree.repository.commit({"app": "1", ".gitignore": "stays\n"})) == {"data/x"}

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

    assert asyncio.run(tree.leavings().edits()) == ["app"]


def test_tree_that_is_no_worktree_any_more_is_kept_as_it_is(tree: Tree) -> None:
    commit = tree.repository.commit({"app": "1"})
    tree.checkout(commit)
    tree.repository.leave("upload", "node_modules/x")
    (tree.path / ".git").unlink()

    assert tree.checkout(commit) == {"app", "upload"}

    assert tree.repository.left() == {"app"}


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


def test_database_goes_with_its_log(tree: Tree) -> None:
    """A log that stays behind would be played back into the commit's own database."""
    files = {"app.db": "1", ".gitignore": "*-wal\n"}
    tree.checkout(tree.repository.commit(files))
    tree.repository.leave("app.db", "app.db-wal")

    tree.checkout(tree.repository.commit(files | {"app.db": "2"}))

    assert (tree.kept / "app.db-wal").read_text() == "left"
    assert tree.repository.left() == {"app.db", ".gitignore"}


def test_many_files(tree: Tree) -> None:
    commit = tree.repository.commit({"app": "1"})
    tree.checkout(commit)
    (tree.path / "uploads").mkdir()
    for number in range(3000):
        (tree.path / "uploads" / str(number)).touch()

    moved = tree.checkout(commit)

    assert len(moved) == 3000
    assert kept.in_words(sorted(moved)).endswith("and 2995 more")


def test_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tree" / "locked"
    folder.mkdir(parents=True)
    (folder / "file").touch()
    folder.chmod(0o500)
    moved: list[str] = []
    move = shutil.move

    def unless_locked(source: Path, target: Path) -> None:
        if not source.parent.stat().st_mode & stat.S_IWUSR:
            raise PermissionError
        move(source, target)

    monkeypatch.setattr(shutil, "move", unless_locked)

    kept.move(tmp_path / "tree", ["locked/file"], tmp_path / "kept", moved)

    assert (tmp_path / "kept" / "locked" / "file").exists()


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


def test_oldest_go_beyond_a_number(tmp_path: Path) -> None:
    assert folders(tmp_path, *[1] * (kept.MOST_FOLDERS + 2)).prune() == ["1", "0"]
    assert len(list((tmp_path / "kept").iterdir())) == kept.MOST_FOLDERS


def test_oldest_go_beyond_a_size_but_never_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 60_000)
    assert folders(tmp_path, 1, 1, 50_000, 1).prune() == ["1", "0"]
    monkeypatch.setattr(kept, "MOST_BYTES", 1)
    assert Kept(tmp_path).prune() == ["2"]


def test_folder_of_its_own_for_each_occasion(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        folder = Kept(tmp_path).new_folder("a")
        folder.mkdir(parents=True)
        names.add(folder.name)
    assert len(names) == 3


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
