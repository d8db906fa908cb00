"""Slots that are folders become links to trees, whatever happens meanwhile."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.core.model import State, Version
from slot_machine.host.files import links
from slot_machine.host.git import trees

STATE = State(Version("b", "c2", 2), Version("a", "c1", 1))


def slots(data: Path) -> Path:
    for slot in "ab":
        (data / f"slot-{slot}").mkdir()
        (data / f"slot-{slot}" / "file").write_text(slot)
    return data


def is_done(data: Path) -> bool:
    links = {name: os.readlink(data / name) for name in ("slot-a", "slot-b")}
    texts = {name: (data / name / "file").read_text() for name in ("tree-1", "tree-2")}
    return links == {"slot-a": "tree-1", "slot-b": "tree-2"} and texts == {"tree-1": "a", "tree-2": "b"}


def adopt(data: Path) -> None:
    trees.adopt_slots(data)
    trees.link_slots(data, STATE)


def test_live_slot_is_told_in_a_file_that_everybody_may_read(tmp_path: Path) -> None:
    file = tmp_path / trees.LIVE_FILE
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("kept")
    file.symlink_to(elsewhere)
    for state, text in ((STATE, "b\n"), (State(), ""), (State(Version("a", "c1", 1)), "a\n")):
        trees.tell_live(tmp_path, state)
        assert file.read_text() == text
        assert file.stat().st_mode & 0o777 == 0o644
    file_before = file.stat().st_ino
    trees.tell_live(tmp_path, State(Version("a", "c1", 1)))

    assert file.stat().st_ino == file_before
    assert elsewhere.read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {trees.LIVE_FILE, "elsewhere"}


def test_slots_become_links(tmp_path: Path) -> None:
    adopt(slots(tmp_path))
    assert is_done(tmp_path)
    adopt(tmp_path)
    assert is_done(tmp_path)


@pytest.mark.parametrize("exchanges", [True, False])
def test_killed_at_any_step(tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call that changes a name is the last one of a process, once."""
    for number in range(1, 100):
        data = tmp_path / str(number)
        data.mkdir()
        slots(data)
        pid = os.fork()
        if pid == 0:
            die_before(number, monkeypatch, exchanges=exchanges)
            adopt(data)
            os._exit(0)
        ended = os.waitpid(pid, 0)[1] == 0
        assert {(data / "slot-a" / "file").exists(), (data / "tree-1" / "file").exists()} != {False}
        adopt(data)
        assert is_done(data)
        if ended:
            break
    assert number > 4


def die_before(number: int, monkeypatch: pytest.MonkeyPatch, *, exchanges: bool) -> None:
    left = number

    def dying(call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **kwargs: object) -> object:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return wrapped

    if not exchanges:
        monkeypatch.setattr(links, "exchanged", lambda *_: False)
    for name in ("symlink", "rename", "unlink"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))


def test_slot_that_is_the_users_link_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    data = slots(tmp_path / "data")
    (data / "slot-a").rename(tmp_path / "elsewhere")
    (data / "slot-a").symlink_to("../elsewhere")

    adopt(data)

    assert is_done(data)
    assert (data / "tree-1").resolve() == tmp_path / "elsewhere"


def test_folder_in_the_place_of_a_link_is_not_taken_for_a_tree(tmp_path: Path) -> None:
    adopt(slots(tmp_path))
    (tmp_path / "slot-a").unlink()
    (tmp_path / "slot-a").mkdir()

    trees.adopt_slots(tmp_path)

    assert (tmp_path / "tree-1" / "file").read_text() == "a"
    with pytest.raises(OSError, match="slot-a"):
        trees.link_slots(tmp_path, STATE)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
