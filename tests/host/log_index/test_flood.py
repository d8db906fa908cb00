"""100,000 lines over rotations, which a client follows meanwhile."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slot_machine.host.log_index.cursor import Cursor, Entry
from slot_machine.host.log_index.records import Mark
from slot_machine.host.log_index.view import LogView
from slot_machine.host.rotation import LogFile

MAX_BYTES = 1_000_000
COUNT = 100_000
FLOOD = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(int(sys.argv[2])):
    os.write(fd, b"%08d %s\\n" % (number, b"x" * (number % 171)))
"""


@pytest.fixture(params=["cut", "hole"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where a head is cut off, if the temporary files' file system can do that; and where it becomes a hole."""
    if request.param == "cut":
        yield tmp_path
    else:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            yield Path(name)


def line_numbers(found: list[Entry]) -> list[int]:
    return [int(entry.content[:8]) for entry in found if isinstance(entry.content, bytes)]


def entries(path: Path) -> list[Entry]:
    view = LogView(path)
    found = list(Cursor(view, view.begin).entries(view.end, 0.0, whole=True))
    view.close()
    return found


def test_100_000_lines_over_rotations_are_followed_without_a_lost_or_doubled_one(folder: Path) -> None:
    path = folder / "app.log"
    file = LogFile(path, MAX_BYTES, keep=100)
    path.touch()
    file.look()
    view, seen = LogView(path), list[Entry]()
    cursor = Cursor(view, 0)
    over = threading.Event()

    def keep() -> None:
        while not over.wait(0.02):
            file.look()
            file.rotate()

    keeper = threading.Thread(target=keep)
    keeper.start()
    with subprocess.Popen([sys.executable, "-IS", "-c", FLOOD, path, str(COUNT)]) as writer:
        while writer.poll() is None:
            seen += cursor.entries(view.end, 0.0, whole=False)
    over.set()
    keeper.join()
    file.rotate()
    seen += cursor.entries(view.end, 0.0, whole=False)

    assert line_numbers(seen) == list(range(COUNT))
    assert line_numbers(entries(path)) == list(range(COUNT))
    rotations = len([entry for entry in seen if isinstance(entry.content, Mark)])
    assert rotations >= 8
    assert len(list(folder.glob("app.log.[0-9]*"))) == rotations
    orders = [entry.order for entry in entries(path)]
    assert orders == sorted(orders)
    view.close()
