"""The soak notices what it looks for: its checks of the journal, of the job's runs and of the shared data."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from soak import cron, data, journal
from soak.app import digest, upload, written
from spec.orchestrator import Orchestrator

from tests.world import Site

BEGAN = datetime(2026, 1, 1, 10, tzinfo=UTC)
RELEASE = ("release", "start", "v1")
Row = dict[str, object]
Lines = list[tuple[str, str, str]]


class Recorded(Site):
    """What a soak that has ended left: `(role, event, version of the tree)` in the journal, and the history."""

    def __init__(self, folder: Path, lines: Lines, rows: list[Row]) -> None:
        super().__init__(Orchestrator(Path("none")), folder)
        self._rows = rows
        journal.begin(self)
        entries = [journal.Entry(role, 1, "v1", found, "c", event, 0) for role, event, found in lines]
        journal.path(self).write_text("".join(json.dumps(entry._asdict()) + "\n" for entry in entries))

    def history(self) -> list[Row]:
        return self._rows


def deploy(stage: str, result: str = "succeeded", warnings: str = "[]") -> Row:
    return {"kind": "deploy", "commit_hash": "c", "stage": stage, "result": result, "warnings": warnings}


def job(seconds: float, result: str = "succeeded", error: str = "") -> Row:
    began = BEGAN + timedelta(seconds=seconds)
    return {"kind": "job", "started_at": began.isoformat(), "result": result, "error": error}


@pytest.mark.parametrize(
    ("lines", "row", "problem"),
    [
        ([RELEASE], deploy("drain"), ""),
        ([RELEASE, RELEASE], deploy("drain"), "ran 2 times"),
        ([], deploy("health", "failed"), "ran 0 times"),
        ([RELEASE], deploy("setup", "failed"), "ran 1 times"),
        ([], deploy("release", "interrupted"), ""),
        ([RELEASE, ("worker", "start", "v1")], deploy("health", "failed"), "never live"),
        ([RELEASE, ("singleton", "second", "v1")], deploy("drain"), "two ran at once"),
        ([RELEASE, ("worker", "start", "v2")], deploy("drain"), "the configuration of another version"),
        ([RELEASE], deploy("drain", warnings='["it was killed: its jobs may run again"]'), "needed SIGKILL"),
    ],
)
def test_journal(tmp_path: Path, lines: Lines, row: Row, problem: str) -> None:
    found = list(journal.problems(Recorded(tmp_path, lines, [row])))
    assert bool(found) == bool(problem)
    assert all(problem in each for each in found)


def test_process_that_did_not_end_by_itself(tmp_path: Path) -> None:
    started = [("worker", "start", "v1"), ("worker", "signal", "v1")]
    site = Recorded(tmp_path, started, [])
    assert len(journal.unended(site)) == 1
    journal.killed(site, 1)
    assert not journal.unended(site)


@pytest.mark.parametrize(
    ("rows", "starts", "problem"),
    [
        ([job(0), job(60), job(120)], 3, ""),
        ([job(0), job(50), job(120)], 3, "2 runs"),
        ([job(0), job(120)], 2, "no run of the job that was due at 2026-01-01 10:01"),
        ([job(0), job(119, "missed", "it was due at 2026-01-01T10:01:00.000Z, while"), job(120)], 2, ""),
        ([job(0), job(60, "failed"), job(120)], 3, "failed"),
        ([job(0), job(60), job(120)], 4, "started 4 times"),
    ],
)
def test_job(tmp_path: Path, rows: list[Row], starts: int, problem: str) -> None:
    site = Recorded(tmp_path, [("job", "start", "v1")] * starts, rows)
    found = list(cron.problems(site, BEGAN - timedelta(seconds=5), BEGAN + timedelta(seconds=179)))
    assert bool(found) == bool(problem)
    assert problem in "".join(found)


def test_lost_write(tmp_path: Path) -> None:
    site = Recorded(tmp_path, [], [])
    shared = site.data / "shared"
    (shared / "data").mkdir(parents=True)
    (shared / "uploads").mkdir()
    with closing(sqlite3.connect(shared / "data" / "app.db")) as db, db:
        db.execute("CREATE TABLE writes (number INTEGER PRIMARY KEY, digest TEXT)")
        db.executemany("INSERT INTO writes VALUES (?, ?)", [(number, digest(number)) for number in (1, 2)])
    (shared / "uploads" / upload(1).name).write_bytes(written(1) + written(3))
    assert not data.lost(site, [1])
    assert len(data.lost(site, [1, 2, 3])) == 2
