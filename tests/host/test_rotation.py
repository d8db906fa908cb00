"""Rotation while a process writes: the kept files, one after the other, are what it wrote."""

import asyncio
import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.host import logs, rotation
from slot_machine.host.logs import SlotLogs
from slot_machine.host.rotation import LogFile

MAX_BYTES = 1_000_000
FLOOD = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
number = 0
while os.read(0, 1):
    for number in range(number, number + 25_000):
        os.write(fd, b"%08d %s\\n" % (number, b"x" * (number % 171)))
    number += 1
print(number)
"""
"""Writes 2 MB for each byte of its stdin, and says how many lines it wrote in all."""


@pytest.fixture(params=["cut", "hole"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where a head is cut off, if the temporary files' file system can do that; and where it becomes a hole."""
    memory = Path("/dev/shm")
    if request.param == "cut":
        yield tmp_path
    elif not os.access(memory, os.W_OK):
        pytest.skip("no tmpfs to write to")
    else:
        with tempfile.TemporaryDirectory(dir=memory) as name:
            yield Path(name)


def kept(path: Path) -> list[Path]:
    numbered = (older for older in path.parent.glob(f"{path.name}.*") if older.suffix[1:].isdecimal())
    return sorted(numbered, key=lambda older: -int(older.suffix[1:]))


def contents(path: Path) -> bytes:
    """What all files hold, the oldest first."""
    return b"".join(file.read_bytes().lstrip(b"\0") for file in [*kept(path), path])


def lines(count: int, first: int = 0) -> bytes:
    return b"".join(b"%08d %s\n" % (number, b"x" * (number % 171)) for number in range(first, count))


def test_flood_loses_and_repeats_nothing(folder: Path) -> None:
    path = folder / "app.log"
    file = LogFile(path, MAX_BYTES, keep=100)

    def rotated(times: int) -> bool:
        file.rotate()
        return len(kept(path)) >= times

    with subprocess.Popen(
        [sys.executable, "-IS", "-c", FLOOD, path], bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        for times in range(1, 7):
            assert writer.stdin
            writer.stdin.write(b".")
            wait_until(f"rotation {times}", partial(rotated, times))
        written, _ = writer.communicate()
    file.rotate()

    assert contents(path) == lines(int(written))
    assert path.stat().st_blocks * 512 < 2 * MAX_BYTES


def test_file_ends_with_a_line_where_a_block_does(folder: Path) -> None:
    path = folder / "app.log"
    path.write_bytes(lines(110_000))

    LogFile(path, 10 * MAX_BYTES, keep=1).rotate()

    (older,) = kept(path)
    assert older.read_bytes().endswith(b"\n")


def test_only_so_many_are_kept_and_a_flood_is_not_copied_first(folder: Path) -> None:
    path = folder / "app.log"
    LogFile(path, MAX_BYTES, keep=5).rotate()
    everything = lines(200_000)
    path.write_bytes(everything)
    LogFile(path, MAX_BYTES, keep=5).rotate()
    assert len(kept(path)) == 5

    LogFile(path, MAX_BYTES, keep=3).rotate()
    path.write_bytes(path.read_bytes().lstrip(b"\0") + lines(220_000, 200_000))
    LogFile(path, MAX_BYTES, keep=3).rotate()

    assert [older.suffix for older in kept(path)] == [".3", ".2", ".1"]
    assert (everything + lines(220_000, 200_000)).endswith(contents(path))
    assert len(contents(path)) > 3 * MAX_BYTES / 2


def test_file_that_its_writer_made_of_holes_takes_no_longer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app may resize its log: to terabytes, at no cost."""
    path = folder / "app.log"
    with path.open("ab", buffering=0) as writer:
        for _ in range(1000):
            writer.write(b"x\n")
            writer.truncate(writer.seek(0, os.SEEK_END) + MAX_BYTES)
        writer.write(lines(20_000))
    cut = rotation._cut_off
    cuts: list[int] = []

    def counted(fd: int, end: int) -> int:
        cuts.append(end)
        return cut(fd, end)

    monkeypatch.setattr(rotation, "_cut_off", counted)

    LogFile(path, MAX_BYTES, keep=2).rotate()

    assert len(cuts) <= 5
    assert len(contents(path)) <= 4 * MAX_BYTES
    assert path.read_bytes().endswith(lines(20_000)[-rotation.SPARED_BYTES :])


def test_writer_that_is_faster_holds_up_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "app.log"
    path.write_bytes(lines(30_000))
    cut = rotation._cut_off
    cuts: list[int] = []

    def cut_and_grow(fd: int, end: int) -> int:
        assert len(cuts) < 20
        cuts.append(end)
        with path.open("ab") as file:
            file.write(lines(30_000))
        return cut(fd, end)

    monkeypatch.setattr(rotation, "_cut_off", cut_and_grow)
    LogFile(path, MAX_BYTES, keep=2).rotate()


@pytest.mark.parametrize("step", ["_copy", "_cut_off", "_renumber"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_between_two_steps(folder: Path, step: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "app.log"
    path.write_bytes(lines(20_000))
    carry_out = getattr(LogFile, step)

    def killed(*arguments: object) -> None:
        if when == "after":
            carry_out(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LogFile, step, killed)
        with pytest.raises(KeyboardInterrupt):
            LogFile(path, MAX_BYTES, keep=5).rotate()
    with path.open("ab") as file:
        file.write(lines(40_000, 20_000))
    LogFile(path, MAX_BYTES, keep=5).rotate()

    assert [older.suffix for older in kept(path)][-2:] == [".2", ".1"]
    assert contents(path) == lines(40_000)


def test_copy_that_fails_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "app.log"
    path.write_bytes(lines(20_000))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rotation, "_append", full)
    with pytest.raises(OSError, match="No space"):
        LogFile(path, MAX_BYTES, keep=5).rotate()

    assert sorted(file.name for file in folder.iterdir()) == ["app.log", "app.log.index"]
    assert contents(path) == lines(20_000)


def test_tail_of_a_start_in_the_midst_of_which_the_log_was_rotated(folder: Path) -> None:
    logs = SlotLogs(folder, MAX_BYTES, keep=5)
    path = folder / "slot-a.log"
    path.write_bytes(b"an earlier start\n" * 62_000)
    start = logs.open("a")
    assert start.tail() == ()
    start.write(b"one\n")

    logs.rotate()
    start.write(b"two\n")

    assert len(kept(path)) == 1
    assert start.tail() == ("one", "two")
    start.close()


def test_each_run_has_a_log_of_its_own_which_is_rotated(folder: Path) -> None:
    logs = SlotLogs(folder, MAX_BYTES, keep=5)
    worker = logs.open("a", "worker")
    adopted = logs.file("b", "worker")
    assert (worker.path, adopted.path) == (folder / "slot-a.worker.log", folder / "slot-b.worker.log")
    for path in (worker.path, adopted.path):
        path.write_bytes(lines(20_000))

    logs.rotate()

    assert [contents(path) for path in (worker.path, adopted.path)] == [lines(20_000)] * 2
    assert all(kept(path) for path in (worker.path, adopted.path))
    worker.close()


def test_file_system_that_cannot_rotate_is_not_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "slot-a.log"
    path.write_bytes(lines(20_000))

    tries: list[int] = []

    def unsupported(*_: object) -> None:
        tries.append(1)
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(rotation, "_fallocate", unsupported)
    monkeypatch.setattr(logs, "CHECK_INTERVAL_S", 0)

    looks = iter(range(5))

    def look(_: SlotLogs) -> None:
        if next(looks, None) is None:
            raise KeyError

    monkeypatch.setattr(SlotLogs, "look", look)
    with pytest.raises(KeyError):
        asyncio.run(SlotLogs(folder, MAX_BYTES, keep=5).keep())

    assert len(tries) == 2
    assert path.read_bytes() == lines(20_000)


def test_rotated_log_is_for_its_owner_alone(folder: Path) -> None:
    path = folder / "slot-a.log"
    path.write_bytes(lines(30_000))
    path.chmod(0o600)
    LogFile(path, MAX_BYTES, 3).rotate()

    assert {file.stat().st_mode & 0o777 for file in (path, *kept(path))} == {0o600}
    assert len(kept(path)) > 0
