"""Rotation of the access log, while several processes write to it."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from slot_machine.proxy.access_log import AccessLog, Finished
from slot_machine.traffic import access_log
from slot_machine.traffic.access_log import AccessLogRotation

COUNT = 3000


def numbers(path: Path) -> list[int]:
    files = [*sorted(path.parent.glob("access.log.*"), key=lambda older: -int(older.suffix[1:])), path]
    return [json.loads(line)["status"] for file in files if file.exists() for line in file.read_text().splitlines()]


def test_lines_of_two_workers_are_all_there_once(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    rotation = AccessLogRotation(str(path), 20_000, 100)
    workers = AccessLog(str(path)), AccessLog(str(path))
    for number in range(COUNT):
        worker = workers[number % 2]
        worker.add(Finished(0.0, "GET", "/", number, 0))
        if number % 7 == 0:
            worker.flush()
        if number % 100 == 0:
            rotation.rotate()
    for worker in workers:
        worker.flush()

    assert sorted(numbers(path)) == list(range(COUNT))
    assert len(list(tmp_path.glob("access.log.*"))) >= 10


def test_only_so_many_are_kept_also_after_a_kill_in_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    def rotated(text: str) -> dict[str, str]:
        path.write_text(text)
        AccessLogRotation(str(path), 1, 3).rotate()
        return {older.suffix: older.read_text() for older in tmp_path.glob("access.log.*")}

    assert [rotated(text) for text in ("one", "two", "three", "four")][-1] == {".1": "four", ".2": "three", ".3": "two"}
    (tmp_path / "access.log.1").unlink()
    assert rotated("five") == {".1": "five", ".2": "three", ".3": "two"}


@pytest.mark.parametrize("theirs", ["access.log-20261127", "access.log.2.gz", "access.log.14"])
def test_log_that_somebody_else_rotates_is_left_to_them(
    tmp_path: Path, theirs: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "access.log"
    path.write_text("long")
    (tmp_path / theirs).touch()
    rotation = AccessLogRotation(str(path), 1, 5)
    rotation.rotate()
    rotation.rotate()

    assert path.read_text() == "long"
    assert [record.message for record in caplog.records if theirs in record.message] == [caplog.records[0].message]


def test_log_that_somebody_else_renamed_is_left_to_them(tmp_path: Path) -> None:
    path, away = tmp_path / "access.log", tmp_path / "away"
    path.write_text("1")
    rotation = AccessLogRotation(str(path), 1, 5)
    rotation.rotate()
    path.rename(away)
    path.write_text("long")
    rotation.rotate()

    assert path.read_text() == "long"


def test_log_that_is_truncated_is_rotated_still(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("1")
    rotation = AccessLogRotation(str(path), 1, 5)
    rotation.rotate()
    os.truncate(path, 0)
    rotation.rotate()
    path.write_text("long")
    rotation.rotate()

    assert not path.exists()
    assert (tmp_path / "access.log.1").read_text() == "long"


def test_link_stays_and_a_device_is_left_alone(tmp_path: Path) -> None:
    path, link = tmp_path / "access.log", tmp_path / "link"
    link.symlink_to(path)
    path.write_text("long")
    AccessLogRotation(str(link), 1, 5).rotate()
    AccessLogRotation("/dev/null", 1, 5).rotate()
    AccessLogRotation(str(tmp_path / "missing"), 1, 5).rotate()

    assert link.is_symlink()
    assert (tmp_path / "access.log.1").read_text() == "long"


def test_failure_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = iter(range(3))

    def rotate(_: AccessLogRotation) -> None:
        if next(tries, None) is None:
            raise KeyError
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AccessLogRotation, "rotate", rotate)
    monkeypatch.setattr(access_log, "CHECK_INTERVAL_S", 0)
    with pytest.raises(KeyError):
        asyncio.run(AccessLogRotation(str(tmp_path / "access.log"), 1, 5).keep_small())

    assert len(caplog.records) == 1
    asyncio.run(AccessLogRotation("", 1, 5).keep_small())
    asyncio.run(AccessLogRotation("access.log", 0, 5).keep_small())
