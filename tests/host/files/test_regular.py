"""What is no file is neither waited for nor touched."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.host.files.regular import check_appendable, open_regular


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


SPECIAL = [(os.mkfifo, "a FIFO"), (os.mkdir, "a directory"), (make_socket, "a socket")]
FLAGS = [os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_APPEND]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize(("make", "kind"), SPECIAL)
def test_special_files(tmp_path: Path, make: Callable[[Path], None], kind: str, flags: int) -> None:
    path = tmp_path / "it"
    make(path)

    with pytest.raises(OSError, match=f"it is {kind}, not a file"):
        open_regular(path, flags)
    with pytest.raises(OSError, match=f"it is {kind}, not a file"):
        check_appendable(path)


def test_device() -> None:
    with pytest.raises(OSError, match="it is a device, not a file"):
        open_regular(Path("/dev/zero"))


def test_file_is_made_and_waits_as_others_do(tmp_path: Path) -> None:
    fd = open_regular(tmp_path / "new", os.O_WRONLY | os.O_CREAT)

    assert os.get_blocking(fd)
    os.close(fd)
    assert (tmp_path / "new").exists()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")


def test_streams_of_a_process_can_be_appended_to() -> None:
    source, target = os.pipe()
    for path in ("/dev/null", f"/proc/self/fd/{target}", "/nonexistent"):
        check_appendable(Path(path))
    os.close(source)
    os.close(target)
