"""What is mounted inside of a tree stays, and what would go through it is refused."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from slot_machine.app.custody import Clearing
from slot_machine.core.model import Made
from slot_machine.host.files import kept, mounts, reclaim
from slot_machine.host.files.removal import remove, remove_here
from slot_machine.host.files.reserve import Reserve
from tests.host.files.tree import Tree


class Mounts:
    """As the kernel lists them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_text("22 1 254:0 / / rw - ext4 /dev/vda rw\n")

    def add(self, path: Path) -> Path:
        escaped = str(path).replace("\\", "\\134").replace(" ", "\\040").replace("\n", "\\012")
        with self.file.open("a") as file:
            file.write(f"99 22 254:0 /srv {escaped} rw,relatime shared:1 - ext4 /dev/vda rw\n")
        return path


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mounts:
    mounted = Mounts(tmp_path / "mountinfo")
    monkeypatch.setattr(mounts, "MOUNTINFO", mounted.file)
    return mounted


def test_names_as_the_kernel_prints_them(tmp_path: Path, mounted: Mounts) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "link").symlink_to("tree")
    for name in ("tree/up loads", "tree/a\\b/c", "tree2", "tree/new\nline"):
        mounted.add(tmp_path / name)

    below = {str(path.relative_to(tmp_path)) for path in mounts.below(tmp_path / "tree")}

    assert below == {"tree/up loads", "tree/a\\b/c", "tree/new\nline"}
    assert not mounts.at_or_below(tmp_path / "link")
    assert mounts.at_or_below(tmp_path / "link" / "up loads") == [tmp_path / "link" / "up loads"]


@pytest.mark.parametrize("name", ["", "below/uploads"])
def test_no_removal_enters_a_mount(tmp_path: Path, mounted: Mounts, name: str) -> None:
    path = tmp_path / "tree" / "below" / "uploads" / "picture"
    path.parent.mkdir(parents=True)
    path.touch()
    point = mounted.add(tmp_path / "tree" / name)

    refusal = f"cannot remove {tmp_path}/tree: {point} is mounted"
    with pytest.raises(OSError, match=refusal):
        asyncio.run(remove(tmp_path / "tree", "me"))
    with pytest.raises(OSError, match=refusal):
        remove_here(tmp_path / "tree")

    assert path.exists()


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("unfinished", [True, False])
def test_checkout_leaves_a_mount(tree: Tree, mounted: Mounts, keep: bool, unfinished: bool) -> None:
    """Where a folder of the commit, of the app, or of nobody else is; whatever its name."""
    names = ("uploads", "var/up loads", "var/[x]*\\?", "var/deep/er", "node/node_modules/x")
    commit = tree.repository.commit({"app": "1", "uploads/.gitkeep": ""})
    tree.checkout(commit)
    tree.repository.leave(*(f"{name}/picture" for name in names), "var/mine", "uploads2")
    tree.made = Made(unfinished=unfinished)
    tree.begun_ns = 1 << 62
    for name in names:
        mounted.add(tree.path / name)

    if keep:
        assert tree.checkout(tree.repository.commit({"app": "2"})) == {"var/mine", "uploads2"}
    else:
        tree.repository.checkout(tree.repository.commit({"app": "2"}))

    assert tree.repository.left() == {"app", *(f"{name}/picture" for name in names)}
    assert not asyncio.run(tree.app_files().in_use())


def test_files_of_the_setup_are_not_looked_for_in_a_mount(tree: Tree, mounted: Mounts) -> None:
    tree.checkout(tree.repository.commit({"app": "1"}))
    mounted.add(tree.path / "uploads")

    tree.set_up("uploads/picture", "built")

    assert set(tree.made.files) == {b"built"}


def test_what_a_checkout_would_overwrite_in_a_mount_is_refused(tree: Tree, mounted: Mounts) -> None:
    tree.checkout(tree.repository.commit({"app": "1"}))
    tree.repository.leave("uploads/picture")
    point = mounted.add(tree.path / "uploads")

    with pytest.raises(OSError, match=f"cannot keep uploads/picture in {tree.path}: {point} is mounted"):
        tree.checkout(tree.repository.commit({"app": "2", "uploads/picture": "of the commit"}))

    assert (point / "picture").read_text() == "left"


def test_no_tree_with_a_mount_begins_anew(tree: Tree, mounted: Mounts) -> None:
    commit = tree.repository.commit({"app": "1"})
    tree.checkout(commit)
    tree.repository.leave("uploads/picture", "mine")
    (tree.path / ".git").unlink()
    point = mounted.add(tree.path / "uploads")

    with pytest.raises(OSError, match=f"cannot begin {tree.path} anew: {point} is mounted"):
        tree.checkout(commit)

    assert tree.repository.left() == {"app", "uploads/picture", "mine"}
    clearing = Clearing(tree.app_files(), tree.path, tree.kept, Reserve(tree.path.parent))
    with pytest.raises(OSError, match=f"^cannot begin {tree.path} anew"):
        asyncio.run(clearing.before_removal())


def test_nothing_with_a_mount_in_it_is_moved(tree: Tree, mounted: Mounts) -> None:
    tree.path.mkdir()
    tree.repository.leave("var/uploads/picture")
    mounted.add(tree.path / "var" / "uploads")

    with pytest.raises(OSError, match="is mounted"):
        kept.move(tree.path, ["var"], tree.kept, [])

    assert (tree.path / "var" / "uploads" / "picture").exists()


def test_what_a_mount_holds_is_not_taken_back(tree: Tree, mounted: Mounts) -> None:
    tree.path.mkdir()
    tree.repository.leave("uploads/picture", "uploads/node_modules/x", "node_modules/x", "junk")
    for name in ("uploads", "node_modules"):
        mounted.add(tree.path / name)

    reclaim.reclaim(tree.path, reclaim.NEW_TREE_NS)

    assert tree.repository.left() == {"uploads/picture", "uploads/node_modules/x", "node_modules/x"}


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to mount")
def test_bind_mount(tree: Tree, tmp_path: Path) -> None:
    """Of the same file system: no device number tells."""
    tree.checkout(tree.repository.commit({"app": "1", "uploads/.gitkeep": ""}))
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "picture").touch()
    point = tree.path / "uploads"
    if subprocess.run(["mount", "--bind", tmp_path / "shared", point], check=False).returncode:
        pytest.skip("cannot mount")
    try:
        assert tree.checkout(tree.repository.commit({"app": "2"})) == set()
        with pytest.raises(OSError, match=f"{point} is mounted"):
            remove_here(tree.path)
    finally:
        subprocess.run(["umount", "--lazy", point], check=True)

    assert (tmp_path / "shared" / "picture").exists()
