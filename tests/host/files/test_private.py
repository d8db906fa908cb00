"""A file of secrets is changed in one step."""

import os
import threading
from pathlib import Path

import pytest

from slot_machine.host.files import private
from slot_machine.host.files.private import change, read


def test_it_is_private_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / ".env"

    assert change(path, lambda before: before + b"A=1\n")
    path.chmod(0o644)
    assert change(path, lambda before: before + b"B=2\n")
    assert not change(path, lambda before: before)

    assert read(path) == b"A=1\nB=2\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [".env"]


def test_a_symlink_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/real").write_text("A=1\n")
    (tmp_path / ".env").symlink_to("elsewhere/real")

    change(tmp_path / ".env", lambda _: b"A=2\n")

    assert (tmp_path / ".env").is_symlink()
    assert (tmp_path / "elsewhere/real").read_text() == "A=2\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_keeps_the_owner(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    os.chown(path, 54_321, 54_322)

    change(path, lambda _: b"A=2\n")

    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (54_321, 54_322, 0o600)


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        change(path, lambda _: b"A=2\n")

    assert path.read_text() == "A=1\n"
    assert os.listdir(tmp_path) == [".env"]


def test_two_changes_at_once_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / ".env"

    def add(number: int) -> None:
        change(path, lambda before: before + f"V{number}=x\n".encode())

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(path.read_text().splitlines()) == 8


def test_a_lock_that_nobody_gives_up_is_not_waited_for_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "WAIT_S", 0.0)

    def inside(before: bytes) -> bytes:
        with pytest.raises(TimeoutError, match="has locked"):
            change(tmp_path / ".env", lambda other: other + b"B=1\n")
        return before + b"A=1\n"

    assert change(tmp_path / ".env", inside)
