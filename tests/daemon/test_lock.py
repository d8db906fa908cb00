"""The lock of a data folder."""

import os
from pathlib import Path

import pytest

from slot_machine.core.errors import StartRefused
from slot_machine.daemon.lock import NAME, Holder, locked, locked_by


def test_second_one_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path, 9100), pytest.raises(StartRefused, match=f"the daemon with pid {os.getpid()} already"):
        locked(tmp_path, 9100).__enter__()
    with locked(tmp_path, 9100):
        pass


def test_lock_that_is_handed_on_is_never_free(tmp_path: Path) -> None:
    with locked(tmp_path, 9100) as fd:
        handed = os.dup(fd)
    with pytest.raises(StartRefused):
        locked(tmp_path, 9100).__enter__()

    with locked(tmp_path, 9100, handed):
        assert not os.get_inheritable(handed)
        with pytest.raises(StartRefused):
            locked(tmp_path, 9100).__enter__()
    with locked(tmp_path, 9100):
        pass


def test_descriptor_of_another_file_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with (tmp_path / "other").open() as other, locked(tmp_path, 9100, other.fileno()) as fd:
        assert fd != other.fileno()


def test_holder_is_known_only_while_it_holds(tmp_path: Path) -> None:
    assert locked_by(tmp_path) is None
    with locked(tmp_path, 9100):
        assert locked_by(tmp_path) == Holder(os.getpid(), 9100)
    assert locked_by(tmp_path) is None


def test_file_of_an_older_daemon(tmp_path: Path) -> None:
    """It names no port."""
    (tmp_path / NAME).write_text(f"{os.getpid()}\n")

    assert locked_by(tmp_path) is None
    with locked(tmp_path, 80):
        assert (tmp_path / NAME).read_text() == f"{os.getpid()}\n80\n"


def test_lock_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)

    with pytest.raises(StartRefused, match="it is a FIFO, not a file"):
        locked(tmp_path, 9100).__enter__()
