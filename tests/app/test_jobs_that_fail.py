"""Jobs that fail, and a machine that fails them, in memory."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from slot_machine.core.errors import StageFailed
from tests.app.job_stories import DAY_S, EACH_MINUTE, HOUR_S, MINUTE_S, Story, failing, next_minute, tell
from tests.fakes import raising, until


def test_a_run_that_fails_is_told_like_a_crash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(of: Story) -> None:
        of.jobs.code, of.jobs.prints = 3, b"first\nno such table\n"
        await asyncio.sleep(MINUTE_S)
        (failed,) = of.history
        assert (failed.result, failed.error) == ("failed", "exit code 3\n  | first\n  | no such table")
        assert of.daemon.overview()[0].result == "failed"
        of.jobs.prints = b"second\n"
        await asyncio.sleep(MINUTE_S)
        assert of.history[-1].error == "exit code 3\n  | second"

    tell(tmp_path, story, cron={"often": EACH_MINUTE})
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "job often of aaaaaaaa in slot a failed: exit code 3; its output is in" in told[0].message
    assert "no such table" not in told[0].message


def test_of_much_output_the_last_lines_are_kept(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.code, of.jobs.prints = 1, b"".join(b"%d%s\n" % (number, b"x" * 500) for number in range(30))
        await asyncio.sleep(MINUTE_S)
        (failed,) = of.history
        assert failed.error.startswith("exit code 1\n  | ")
        assert "  | 29xxx" in failed.error
        assert len(failed.error) <= 4096

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


@pytest.mark.parametrize(
    "error",
    [
        OSError(2, "No such file or directory"),
        StageFailed("start", "cannot read env_file", hint="correct it"),
        ValueError("embedded null byte"),
    ],
)
def test_one_that_can_not_be_started_has_failed_and_is_tried_at_the_next_time(tmp_path: Path, error: Exception) -> None:
    async def story(of: Story) -> None:
        of.jobs.failures.append(error)
        await asyncio.sleep(2 * MINUTE_S)
        assert of.results == ["failed", "succeeded"]
        assert of.history[0].error.startswith("cannot start it: ")
        assert str(error) in of.history[0].error

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_a_run_whose_time_is_up_is_ended(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = DAY_S
        await asyncio.sleep(50)
        assert of.results == ["failed"]
        assert of.history[0].error == (
            "it did not end within 10 s, so it was ended; raise timeout_ms if it needs more time"
        )
        assert of.history[0].seconds == 10

    tell(tmp_path, story, cron={"often": EACH_MINUTE | {"timeout_ms": 10_000}})


FULL = sqlite3.OperationalError("database or disk is full")


def test_nothing_starts_while_its_time_can_not_be_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(of: Story) -> None:
        await next_minute(of)
        with failing(of, "begin", FULL):
            await asyncio.sleep(80)
            assert of.jobs.begun == []
            assert of.daemon.overview()[0].overdue
        await asyncio.sleep(2)
        assert len(of.jobs.begun) == 1
        assert not of.daemon.overview()[0].overdue

    tell(tmp_path, story, cron={"often": EACH_MINUTE})
    assert caplog.text.count("database or disk is full") == 1
    assert caplog.text.count("job often is overdue: it was due at 2026-06-01T12:01:00.000Z") == 1


def test_a_result_that_can_not_be_stored_is_stored_later(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await until(lambda: of.times)
        with failing(of, "save attempt", FULL):
            await asyncio.sleep(10)
            assert of.results == ["running"]
            assert of.daemon.overview()[0].result == "succeeded"
        await asyncio.sleep(2)
        assert of.results == ["succeeded"]

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_a_run_that_can_not_be_written_down_is_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(of: Story) -> None:
        await next_minute(of)
        with failing(of, "save under way", FULL):
            await asyncio.sleep(6)
        assert of.machine.store.runs_under_way() == []
        await asyncio.sleep(10)
        assert of.results == ["succeeded"]

    tell(tmp_path, story, cron={"often": EACH_MINUTE})
    assert "cannot write down that job often of aaaaaaaa in slot a runs" in caplog.text


def test_a_run_that_can_not_be_watched_is_watched_again(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await next_minute(of)
        with failing(of, "exited", OSError(24, "Too many open files")):
            await asyncio.sleep(20)
            assert of.results == ["running"]
        await asyncio.sleep(2)
        assert of.results == ["succeeded"]

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_a_run_that_can_not_be_adopted_is_neither_repeated_nor_overwritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        await of.end()
        of.jobs.not_adopted.add("first")
        of.start()
        assert of.daemon.runs.under_way.keys() == {"second"}
        assert of.daemon.runs.in_tree(1) == ["job first", "job second of aaaaaaaa in slot a"]
        of.jobs.takes_s = 5
        await asyncio.sleep(2 * MINUTE_S)
        assert [begun.job for begun in of.jobs.begun] == ["first", "second"]
        assert [job.overdue for job in of.daemon.overview()] == [True, False]
        of.jobs.not_adopted.clear()
        await asyncio.sleep(2)
        assert of.daemon.runs.under_way.keys() == {"first", "second"}

    tell(tmp_path, story, cron={"first": EACH_MINUTE, "second": EACH_MINUTE})
    assert caplog.text.count("Too many open files") == 1


def test_before_it_is_known_what_runs_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        await of.end()
        with monkeypatch.context() as broken:
            broken.setattr(of.machine.store, "runs_under_way", raising(FULL))
            of.start()
            await asyncio.sleep(MINUTE_S)
        await asyncio.sleep(MINUTE_S)
        assert len(of.jobs.begun) == 1
        assert of.results == ["running", "missed"]

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_a_database_that_can_not_be_read_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(of: Story) -> None:
        await next_minute(of)
        of.machine.store.unreadable = sqlite3.DatabaseError("disk I/O error")
        await asyncio.sleep(20)
        assert [job.name for job in of.daemon.overview()] == ["often"]
        of.machine.store.unreadable = None
        assert of.results == ["succeeded"]

    tell(tmp_path, story, cron={"often": EACH_MINUTE})
    assert caplog.text.count("cannot look after the jobs") == 1
