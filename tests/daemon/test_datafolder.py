"""Whose the data folder is, and what comes of one that was somebody else's."""

import contextlib
import fcntl
import logging
import os
import re
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slot_machine.core.errors import StartRefused, StateDamaged
from slot_machine.core.model import State, Version
from slot_machine.daemon import datafolder
from slot_machine.host.git import trees
from slot_machine.host.process import proc
from slot_machine.host.user import access, handing_over, rights
from slot_machine.state.soundness import open_sound
from slot_machine.state.store import Store
from tests.users import NUMBERED, PYTHON, give, needs_root, public_folder

UID = int(NUMBERED)
OTHER = UID + 1

SWAP = """
import ctypes, os, sys
os.chdir(sys.argv[1])
renameat2 = ctypes.CDLL(None).renameat2
print("begun", flush=True)
while True:
    renameat2(-100, b"folder", -100, b"link", 2)
    renameat2(-100, b"file", -100, b"second", 2)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of root's that all may pass, while commands are another user's."""
    groups = os.getgroups()
    with public_folder() as place:
        rights.begin(rights.find(NUMBERED, ""))
        yield place
        rights.end()
        os.setgroups(groups)


def prepare(data: Path) -> None:
    datafolder.claim(data, Path("/srv/shop"))
    datafolder.settle(data, Path("/srv/shop"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_folder_with_other_things_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    passwd = tmp_path / "passwd"
    passwd.touch()
    passwd.chmod(0o644)
    tmp_path.chmod(0o755)
    with pytest.raises(StartRefused, match="has other things than a data folder's in it, such as passwd"):
        prepare(tmp_path)
    assert (mode(tmp_path), mode(passwd)) == (0o755, 0o644)


@pytest.mark.parametrize("name", [".gitignore", "lost+found", "daemon.lock"])
def test_folder_is_taken_that_is_as_good_as_empty_or_was_a_data_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    prepare(tmp_path)
    assert mode(tmp_path) == 0o700


def test_what_others_could_read_is_tightened_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = tmp_path / "data"
    (data / "tree-1").mkdir(parents=True)
    (data / ".gitignore").write_text("*")
    for name in ("state.db", "slot-a.log", "slot-a.log.1", "access.log", "tree-1/file"):
        (data / name).write_text(name)
        (data / name).chmod(0o644)
    data.chmod(0o755)
    prepare(data)

    assert (mode(data), mode(data / "tree-1"), mode(data / "tree-1/file")) == (0o700, 0o755, 0o644)
    assert {mode(path) for path in data.iterdir() if path.is_file() and path.name != ".gitignore"} == {0o600}
    (line,) = caplog.messages
    assert line.startswith(f"tightened, as others had access to it: {data}, ")
    assert all(name in line for name in ("state.db", "slot-a.log.1", "access.log"))
    caplog.clear()
    prepare(data)
    assert not caplog.messages


def test_file_with_the_live_slot_stays_readable(tmp_path: Path) -> None:
    """For an app of another user. It has no secret."""
    data = tmp_path / "data"
    prepare(data)
    (data / "slot-a.log").touch(0o600)
    trees.tell_live(data, State(Version("a", "c0ffee", 1)))
    prepare(data)

    assert mode(data / trees.LIVE_FILE) == 0o644


@needs_root
@pytest.mark.parametrize("case", ["his", "writable", "sticky and empty", "his link", "his, further up"])
def test_folder_that_the_user_can_move_is_refused(place: Path, case: str) -> None:
    way = place / "way"
    way.mkdir()
    data = way / "data"
    match case:
        case "his":
            os.chown(way, UID, 0)
        case "writable":
            way.chmod(0o777)
        case "sticky and empty":
            way.chmod(0o1777)
        case "his link":
            real = place / "real"
            real.mkdir()
            (way / "link").symlink_to(real)
            os.chown(way, UID, 0)
            data = way / "link/data"
        case _:
            (way / "further").mkdir()
            os.chown(way, UID, 0)
            data = way / "further/data"
    with pytest.raises(StartRefused) as refusal:
        prepare(data)
    assert str(refusal.value) == f"{NUMBERED} can move the data folder {data}: {way} is writable for {NUMBERED}"
    hint = refusal.value.hint
    assert all(words in hint for words in ("--data", 'the field "data"', "/var/lib/slot-machine/shop"))
    assert not data.exists()


@needs_root
def test_folder_in_a_sticky_one_is_taken_if_it_is_there(place: Path) -> None:
    place.chmod(0o1777)
    (place / "data").mkdir()
    prepare(place / "data")
    assert mode(place / "data") == 0o711


@needs_root
def test_folder_that_the_user_cannot_reach_is_refused(place: Path) -> None:
    place.chmod(0o700)
    with pytest.raises(StartRefused, match=f"{NUMBERED} can't reach the data folder"):
        prepare(place / "data")


@needs_root
def test_user_that_stops_the_look_at_a_folder_makes_it_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "TEST", "kill -STOP $$")
    monkeypatch.setattr(access, "LIMIT_S", 0.2)
    with pytest.raises(StartRefused, match="no answer"):
        prepare(place / "data")


@needs_root
def test_parents_of_a_new_folder_can_be_passed(place: Path) -> None:
    prepare(place / "lib/slot-machine/shop")
    assert mode(place / "lib/slot-machine") == 0o755


@needs_root
def test_folder_of_the_users_becomes_roots_and_nothing_that_he_planted_is_followed(place: Path) -> None:
    secret = place / "secret"
    secret.write_text("root's")
    data = place / "data"
    (data / "tree-1").mkdir(parents=True)
    (data / "state.db").write_text("state")
    (data / "slot-a.log").symlink_to(secret)
    os.link(secret, data / "slot-b.log")
    (data / "slot-a").symlink_to("tree-1")
    (data / "tree-2").symlink_to(place)
    os.mkfifo(data / "daemon.lock")
    give(data, UID)
    os.chown(secret, 0, 0)
    before = (secret.stat().st_mode, secret.stat().st_uid)
    held = os.open(data / "state.db", os.O_WRONLY)
    prepare(data)
    os.write(held, b"wrong")
    os.close(held)

    assert (data.stat().st_uid, mode(data)) == (0, 0o711)
    assert (data / "state.db").read_text() == "state"
    assert (data / "state.db").stat().st_uid == 0
    assert not any(os.path.lexists(data / name) for name in ("slot-a.log", "daemon.lock", "tree-2"))
    assert (data / "slot-b.log").stat().st_ino != secret.stat().st_ino
    assert os.readlink(data / "slot-a") == "tree-1"
    assert (secret.read_text(), secret.stat().st_mode, secret.stat().st_uid) == ("root's", *before)
    assert {path.stat().st_uid for path in (data / "tree-1", data / "kept")} == {UID}


@needs_root
def test_what_the_user_planted_is_not_followed_after_a_start_that_failed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = place / "data"
    (data / "tree-1").mkdir(parents=True)
    (data / "big").write_text("more than the disk has room for")
    (data / "slot-a.log").symlink_to("/etc/passwd")
    (data / "slot-a").symlink_to("/root")
    give(data, UID)
    with monkeypatch.context() as full:
        full.setattr(handing_over, "take_file", lambda _: os.open("/dev/full/x", os.O_RDONLY))
        with pytest.raises(StartRefused):
            prepare(data)
    assert (data.stat().st_uid, mode(data)) == (0, 0)
    prepare(data)

    assert mode(data) == 0o711
    assert not os.path.lexists(data / "slot-a.log")
    assert not os.path.lexists(data / "slot-a")


@needs_root
def test_tree_that_was_not_handed_over_to_the_end_is_handed_over_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else root would run what the user can change."""
    tree = place / "tree-1"
    (tree / "folder").mkdir(parents=True)
    give(tree, UID)
    with monkeypatch.context() as full:
        full.setattr(os, "listdir", lambda _: os.open("/dev/full/x", os.O_RDONLY))
        with pytest.raises(NotADirectoryError):
            handing_over.hand_over(tree, None)
    handing_over.hand_over(tree, None)

    assert (tree.stat().st_uid, (tree / "folder").stat().st_uid) == (0, 0)
    assert mode(tree) == 0o700


@needs_root
def test_processes_that_the_user_wrote_down_are_not_believed(place: Path) -> None:
    """Root would end them: anybody's, by their numbers or by the folder of a control group."""
    data = place / "data"
    data.mkdir()
    store = Store.open(data / "state.db")
    store.save_process(proc.identify(os.getpid(), "mark", str(place)), "setup")
    store.close()
    (data / "state.db-journal").write_text("names a file that SQLite deletes")
    give(data, UID)
    prepare(data)

    store = open_sound(data / "state.db")
    assert store.processes() == []
    store.close()
    assert not (data / "state.db-journal").exists()


@needs_root
def test_trigger_that_the_user_planted_keeps_no_process(place: Path) -> None:
    data = place / "data"
    data.mkdir()
    Store.open(data / "state.db").close()
    with contextlib.closing(sqlite3.connect(data / "state.db")) as db:
        db.execute("CREATE TRIGGER t BEFORE DELETE ON processes BEGIN SELECT RAISE(IGNORE); END")
    give(data, UID)
    prepare(data)

    with pytest.raises(StateDamaged, match="triggers"):
        open_sound(data / "state.db")


@needs_root
def test_trees_in_a_folder_that_was_another_users_become_roots(tmp_path: Path) -> None:
    (tmp_path / "data/tree-1").mkdir(parents=True)
    give(tmp_path / "data", UID)
    prepare(tmp_path / "data")
    assert (tmp_path / "data/tree-1").stat().st_uid == 0


@needs_root
def test_processes_that_root_wrote_down_are_believed(place: Path) -> None:
    prepare(place / "data")
    store = Store.open(place / "data/state.db")
    store.save_process(proc.identify(os.getpid()), "setup")
    prepare(place / "data")
    assert len(store.processes()) == 1
    store.close()


@needs_root
def test_folder_of_a_daemon_that_runs_is_left_alone(place: Path) -> None:
    data = place / "data"
    data.mkdir()
    with (data / "daemon.lock").open("w") as lock:
        lock.write(f"{os.getpid()}\n9100\n")
        lock.flush()
        give(data, UID)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StartRefused, match=f"the daemon with pid {os.getpid()} already uses"):
            prepare(data)
    assert data.stat().st_uid == UID


@needs_root
def test_tree_is_handed_over_under_the_hands_of_its_former_owner(place: Path) -> None:
    """He exchanges folders for links and files for others' all the time."""
    secret = place / "secret"
    secret.mkdir()
    (secret / "file").write_text("root's")
    tree = place / "tree-1"
    for number in range(100):
        (tree / f"some/folder/{number}").mkdir(parents=True)
    (tree / "some/file").write_text("his")
    (tree / "some/second").symlink_to(secret / "file")
    (tree / "some/link").symlink_to(secret)
    give(tree, OTHER)
    argv = [PYTHON, "-c", SWAP, str(tree / "some")]
    swapping = subprocess.Popen(argv, stdout=subprocess.PIPE, user=OTHER, group=OTHER, extra_groups=[])
    assert swapping.stdout
    assert swapping.stdout.readline() == b"begun\n"
    try:
        for number in range(20):
            handing_over.hand_over(tree, rights.account() if number % 2 else None)
    finally:
        swapping.kill()
        swapping.wait()
        swapping.stdout.close()
    assert {path.lstat().st_uid for path in (secret, secret / "file")} == {0}


@needs_root
def test_files_with_several_names_are_not_given_away(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree, elsewhere = place / "tree-1", place / "elsewhere"
    tree.mkdir()
    elsewhere.mkdir()
    for name, uid in (("root's", 0), ("another's", OTHER)):
        (elsewhere / name).write_text(name)
        (elsewhere / name).chmod(0o640)
        os.chown(elsewhere / name, uid, uid)
        os.link(elsewhere / name, tree / name)
    with caplog.at_level(logging.WARNING):
        handing_over.hand_over(tree, rights.account())

    assert {path.name: path.stat().st_uid for path in elsewhere.iterdir()} == {"root's": 0, "another's": OTHER}
    assert {path.name: path.stat().st_uid for path in tree.iterdir()} == {"root's": 0, "another's": UID}
    assert (tree / "another's").read_text() == "another's"
    assert mode(tree / "another's") == 0o640
    assert re.search(f"{tree} belonged to user 0; now it is user {UID}'s", caplog.text)


@needs_root
def test_tree_that_an_app_of_roots_gave_away_stays_so(tmp_path: Path) -> None:
    """A start command may do that: `chown -R app . && exec su app -c ...`"""
    data = tmp_path / "data"
    (data / "tree-1").mkdir(parents=True)
    os.chown(data / "tree-1", UID, UID)
    prepare(data)
    assert (data / "tree-1").stat().st_uid == UID
    data.chmod(datafolder.PASSABLE)
    prepare(data)
    assert (data / "tree-1").stat().st_uid == 0
