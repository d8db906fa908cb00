"""What a rebuilt database says of slots and links."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.core.errors import StartRefused, StateDamaged
from slot_machine.core.model import Contents, State, Version
from slot_machine.state import seal
from slot_machine.state.rebuild import rebuild
from slot_machine.state.soundness import open_sound
from tests.repository import Repository


class Slots:
    """Two versions, the second one live, and no database."""

    def __init__(self, folder: Path) -> None:
        self.repository = Repository(folder)
        self.data = self.repository.worktrees.data
        self.database = self.data / "state.db"
        self.first, self.second = (self.repository.commit({"app": text}) for text in ("1", "2"))
        asyncio.run(self.repository.worktrees.checkout(1, self.first))
        asyncio.run(self.repository.worktrees.checkout(2, self.second))
        (self.data / "slot-a").symlink_to("tree-1")
        (self.data / "slot-b").symlink_to("tree-2")
        (self.data / "live").symlink_to("slot-b")
        (self.data / "previous").symlink_to("slot-a")

    def rebuild(self) -> None:
        asyncio.run(rebuild(self.database, self.repository.worktrees))

    def say(self) -> tuple[State, list[Contents | None]]:
        store = open_sound(self.database)
        try:
            return store.state(), [store.contents(1), store.contents(2)]
        finally:
            store.close()


@pytest.fixture
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slots:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return Slots(tmp_path)


def test_links_and_heads_say_what_is_live(slots: Slots) -> None:
    slots.rebuild()

    state, contents = slots.say()
    assert (state.live, state.previous) == (Version("b", slots.second, 2), Version("a", slots.first, 1))
    assert contents == [Contents(slots.first, ""), Contents(slots.second, "")]


def test_slot_that_was_edited_is_not_relied_on(slots: Slots) -> None:
    (slots.data / "tree-2" / "app").write_text("edited")

    slots.rebuild()

    state, contents = slots.say()
    assert state.live == Version("b", slots.second, 2)
    assert contents == [Contents(slots.first, ""), None]


def test_slot_that_a_failed_deploy_overwrote_is_no_rollback_target(slots: Slots) -> None:
    (slots.data / "previous").unlink()

    slots.rebuild()

    state, contents = slots.say()
    assert (state.live, state.previous) == (Version("b", slots.second, 2), None)
    assert contents == [None, Contents(slots.second, "")]


@pytest.mark.parametrize("target", ["slot-c", "slot-b", "/"])
def test_link_that_leads_nowhere_is_not_guessed_about(slots: Slots, target: str) -> None:
    (slots.data / "tree-2").rename(slots.data.parent / "moved")
    (slots.data / "live").unlink()
    (slots.data / "live").symlink_to(target)

    with pytest.raises(StartRefused, match="no commit is checked out"):
        slots.rebuild()

    assert not slots.database.exists()


@pytest.mark.parametrize("steps", range(6))
def test_killed_while_the_files_change_places(slots: Slots, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slots.rebuild()
    before = slots.say()
    seal.write(seal.path_of(slots.database), seal.Seal(99, "of changes that are lost"))
    slots.database.with_name("state.db-wal").write_bytes(b"")
    rename, renamed = Path.rename, 0

    def killed(self: Path, target: Path) -> Path:
        nonlocal renamed
        if self.name.startswith("state.db") and (renamed := renamed + 1) > steps:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            slots.rebuild()

    with pytest.raises(StateDamaged):
        slots.say()
    slots.rebuild()
    assert slots.say() == before


def test_sound_database_is_not_rebuilt(slots: Slots) -> None:
    slots.rebuild()

    with pytest.raises(StartRefused, match="is sound"):
        slots.rebuild()

    assert not list(slots.data.glob("*damaged*"))
