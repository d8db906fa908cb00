"""What the daemon does in the user's name: with his rights, and no others."""

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slot_machine.core.errors import StartRefused
from slot_machine.host.files import app_files, kept, reclaim, removal
from slot_machine.host.git import gitdir, trees
from slot_machine.host.process.env_file import read_env_file
from slot_machine.host.process.threads import in_thread
from slot_machine.host.user import rights
from slot_machine.host.user.rights import acting
from tests.users import NAMED, NUMBERED, give, needs_root, public_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """One of the user's, while the commands are the user's."""
    groups = os.getgroups()
    with public_folder() as folder:
        os.setgroups([4, 6])
        rights.begin(rights.find(NUMBERED, ""))
        give(folder, int(NUMBERED))
        yield folder
        rights.end()
        os.setgroups(groups)


@pytest.fixture
def secret() -> Iterator[Path]:
    """A folder of root's that others may not enter, with a file in it."""
    with public_folder() as secret:
        (secret / "file").write_text("NAME=secret")
        (secret / "file").chmod(0o600)
        secret.chmod(0o700)
        yield secret


@needs_root
def test_file_access_is_that_of_the_user_in_this_thread_alone(folder: Path, secret: Path) -> None:
    entered, left = threading.Event(), threading.Event()

    def meanwhile() -> None:
        entered.wait(10)
        assert (secret / "file").read_text() == "NAME=secret"
        left.set()

    other = threading.Thread(target=meanwhile)
    other.start()
    with acting():
        entered.set()
        assert left.wait(10)
        with pytest.raises(PermissionError):
            (secret / "file").read_text()
        (folder / "made").touch()
        with acting():
            pass
        with pytest.raises(PermissionError):
            os.chown(folder / "made", 0, 0)
    other.join()
    assert (folder / "made").stat().st_uid == int(NUMBERED)
    assert (secret / "file").read_text() == "NAME=secret"


@needs_root
def test_link_to_an_open_file_of_the_daemon_leads_nowhere(folder: Path, secret: Path) -> None:
    with open(secret / "file") as opened:
        (folder / "link").symlink_to(f"/proc/self/fd/{opened.fileno()}")
        (folder / "environment").symlink_to("/proc/self/environ")
        for name in ("link", "environment"):
            with acting(), pytest.raises(PermissionError):
                (folder / name).read_bytes()


@needs_root
@pytest.mark.usefixtures("folder")
def test_supplementary_groups_of_the_daemon_are_given_up() -> None:
    assert os.getgroups() == []


def work(tree: Path, secret: Path) -> list[Callable[[], object]]:
    """All that the daemon does below a tree, where the user has put a link to root's folder in the place of one."""
    (tree / "sub").symlink_to(secret)
    for name in (".git", "index.lock"):
        (tree / name).write_text(f"gitdir: {secret}\n")
    moved: list[str] = []
    return [
        lambda: kept.move(tree, ["sub/file"], tree / "kept", moved),
        lambda: kept.move(tree, ["own"], tree / "sub", moved),
        lambda: reclaim.reclaim(tree / "sub", 0),
        lambda: reclaim.begin(tree / "sub"),
        lambda: removal.remove_here(tree / "sub/file"),
        lambda: asyncio.run(removal.remove(tree / "sub/file", "me")),
        lambda: gitdir.clear_stale_locks(tree / "sub"),
        lambda: gitdir.keep_index(tree / "sub"),
        lambda: gitdir.restore_index(tree / "sub"),
        lambda: trees.register(tree, secret),
        lambda: app_files.is_data(tree / "sub/file"),
        lambda: rights.acting()(rights.make_folder)(tree / "sub/made"),
        lambda: read_env_file(tree / "sub/file"),
    ]


@needs_root
@pytest.mark.parametrize("number", range(13))
def test_nothing_is_changed_where_the_user_could_not(folder: Path, secret: Path, number: int) -> None:
    for name in ("index", "slot-machine.index", "held.lock", "gitdir"):
        (secret / name).write_text("root's")
    (folder / "own").write_text("the user's")
    before = {path: (path.stat(), path.read_bytes()) for path in secret.iterdir()}
    folder_before = secret.stat()
    deed = work(folder, secret)[number]

    async def done() -> None:
        await in_thread(deed)

    try:
        if number in (0, 1, 2):
            asyncio.run(done())
        else:
            deed()
    except OSError:
        pass

    after = {path: (path.stat(), path.read_bytes()) for path in secret.iterdir()}
    assert before.keys() == after.keys()
    for path, (status, text) in before.items():
        assert (after[path][0].st_nlink, after[path][0].st_mode, after[path][1]) == (
            status.st_nlink,
            status.st_mode,
            text,
        )
    assert secret.stat().st_mtime_ns == folder_before.st_mtime_ns
    with pytest.raises(PermissionError), acting():
        os.listdir(secret)


@needs_root
def test_env_file_of_roots_is_read_where_it_was_put(folder: Path, secret: Path) -> None:
    env_file = folder / ".env"
    shutil.copy2(secret / "file", env_file)
    assert read_env_file(env_file) == {"NAME": "secret"}
    os.link(env_file, folder / "second")
    with pytest.raises(PermissionError):
        read_env_file(env_file)
    env_file.unlink()
    env_file.symlink_to(secret / "file")
    with pytest.raises(OSError, match=r"Too many levels|Permission"):
        read_env_file(env_file)


@needs_root
def test_tree_is_removed_though_its_folder_is_roots(folder: Path) -> None:
    os.chown(folder, 0, 0)
    rights.make_theirs(folder / "tree-1", 0o755)
    with acting():
        (folder / "tree-1/closed/deep").mkdir(parents=True)
        (folder / "tree-1/closed").chmod(0)
    asyncio.run(removal.remove_tree(folder / "tree-1", "me"))
    assert not (folder / "tree-1").exists()


def test_user_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    us = rights.find(str(os.geteuid()), "")
    assert us
    assert us.is_ours
    assert rights.find(us.name, "") == us
    assert rights.find("", "") is None
    with pytest.raises(StartRefused, match="no user 'nobody-of-this-name'"):
        rights.find("nobody-of-this-name", "")
    for numbers in (("4294967295", ""), ("61234", "4294967296")):
        with pytest.raises(StartRefused, match="is larger than any that the kernel has"):
            rights.find(*numbers)
    with pytest.raises(StartRefused, match="no group 'no-such-group'"):
        rights.find(NAMED, "no-such-group")
    with pytest.raises(StartRefused, match='"group" is set without "user"'):
        rights.find("", NAMED)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(StartRefused, match=f"only root can run commands as another user than its own: '{NAMED}'"):
        rights.find(NAMED, "")


def test_umask_is_private_and_commands_get_the_former_one_back(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        rights.begin(None)
        (tmp_path / "ours").touch()
        child = rights.of_child(rights.other())
        subprocess.run(["touch", tmp_path / "theirs"], check=True, umask=child["umask"])
        rights.make_folder(tmp_path / "a/b")
        rights.end()
        (tmp_path / "after").touch()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"ours": 0o600, "theirs": 0o640, "after": 0o640, "a": 0o750, "b": 0o750}
