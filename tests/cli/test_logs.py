"""`logs` on the files of a data folder, without a daemon."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slot_machine.cli import log_lines
from slot_machine.cli.commands.logs import Moment, command
from slot_machine.cli.log_lines import Logs, Wanted
from slot_machine.core.model import SLOTS
from slot_machine.host.logs import SlotLogs

LIVE = "c" * 40


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Deploy 1 went to slot a, deploy 2 to slot b. A worker and a job ran."""
    (tmp_path / "slot-machine.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".slot-machine"
    folder.mkdir()
    logs = SlotLogs(folder, 0, 0)
    for attempt, slot in enumerate(SLOTS, 1):
        setup = logs.open(slot)
        setup.of_command(attempt, "setup")
        setup.write(b"installed for %d\n" % attempt)
        setup.close()
        logs.of_attempt(slot, attempt)
        app = logs.open(slot)
        os.write(app.fd, b"boot of %d\n" % attempt)
        logs.started(slot, "web", LIVE, 123, app.begin)
        logs.switched(slot, LIVE)
        worker = logs.open(slot, "worker.2")
        os.write(worker.fd, b"work of %d\n" % attempt)
        os.write(app.fd, b"request \x1b[2J to %d\n" % attempt)
        logs.look()
    job = logs.open("b", "cron.nightly")
    os.write(job.fd, b"tidy\n")
    logs.look()
    return folder


def run(*options: str) -> Result:
    return CliRunner().invoke(command, options, catch_exceptions=False)


def shown(*options: str) -> list[str]:
    """Without the times."""
    return [line[21:] for line in run(*options).output.splitlines()]


BOTH = [
    "a -- web of cccccccc started, pid 123 --",
    "a boot of 1",
    "a -- cccccccc is live --",
    "a request \x1b[2J to 1",
    "a.worker.2 work of 1",
    "b -- web of cccccccc started, pid 123 --",
    "b boot of 2",
    "b -- cccccccc is live --",
    "b.cron.nightly tidy",
    "b request \x1b[2J to 2",
    "b.worker.2 work of 2",
]


def of(slot: str) -> list[str]:
    return [line for line in BOTH if line.startswith(f"{slot} ")]


@pytest.mark.usefixtures("data")
def test_lines_and_marks_of_all_logs_in_order() -> None:
    lines = run().output.splitlines()
    moments = [datetime.fromisoformat(line.split(maxsplit=1)[0]).timestamp() for line in lines]

    assert moments == sorted(moments)
    assert all(abs(moment - time.time()) < 60 for moment in moments)
    assert sorted(line[21:] for line in lines) == sorted(BOTH)
    assert [line for line in shown() if line in of("a")] == of("a")


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--slot", "a", "--process", "web"], of("a")),
        (["--process", "web", "--slot", "b", "-n", "1"], of("b")[-1:]),
        (["--process", "worker"], ["a.worker.2 work of 1", "b.worker.2 work of 2"]),
        (["--process", "worker.2", "--slot", "b"], ["b.worker.2 work of 2"]),
        (["--process", "nightly"], ["b.cron.nightly tidy"]),
        (["--process", "web", "--slot", "b", "--setup"], ["b.setup installed for 2", *of("b")]),
        (["--attempt", "2"], ["b.setup installed for 2", *of("b")[:3]]),
        (["-n", "0"], []),
        (["--process", "nightly", "--since", "1h"], ["b.cron.nightly tidy"]),
        (["--since", "2100-01-01T00:00:00Z"], []),
    ],
)
def test_what_is_asked_for(options: list[str], expected: list[str]) -> None:
    assert shown(*options) == expected


@pytest.mark.usefixtures("data")
def test_json_is_one_object_a_line() -> None:
    objects = [
        json.loads(line) for line in run("--json", "--slot", "b", "--process", "web", "--setup").output.splitlines()
    ]

    assert [abs(datetime.fromisoformat(found.pop("time")).timestamp() - time.time()) < 60 for found in objects]
    b = {"slot": "b", "process": "web"}
    assert objects == [
        {**b, "stage": "setup", "event": "", "attempt": 2, "text": "installed for 2"},
        {**b, "stage": "", "event": "start", "attempt": 2, "text": "web of cccccccc started, pid 123"},
        {**b, "stage": "", "event": "", "attempt": 0, "text": "boot of 2"},
        {**b, "stage": "", "event": "switch", "attempt": 2, "text": "cccccccc is live"},
        {**b, "stage": "", "event": "", "attempt": 0, "text": "request \x1b[2J to 2"},
    ]


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--process", "nope"], "there is no log of process 'nope' in"),
        (["--process", "nightly", "--slot", "a"], "there is no log of process 'nightly' in slot a in"),
        (["--attempt", "99"], "has anything of attempt 99"),
    ],
)
def test_what_is_not_there_is_told(options: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = run("--json", *options)
    assert told.exit_code == 1
    assert error in json.loads(told.output)["error"]
    told = run(*options)
    assert (told.exit_code, told.stdout) == (1, "")
    assert error in told.stderr + capsys.readouterr().err


@pytest.mark.usefixtures("data")
def test_attempts_are_listed_elsewhere() -> None:
    assert json.loads(run("--json", "--attempt", "99").output)["hint"] == "`slot-machine history` lists them"


def test_app_without_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slot-machine.json").write_text("{}")
    assert "there are no logs in" in json.loads(run("--json").output)["error"]


def test_time_that_is_none_is_wrong_usage() -> None:
    told = run("--since", "yesterday")
    assert told.exit_code == 2
    assert "'yesterday' is no time; write 10m" in told.output


def test_times_before_now_and_moments() -> None:
    def seconds(value: str) -> float:
        return Moment().convert(value, None, None)

    now_s = time.time()
    assert [round(now_s - seconds(value)) for value in ("90s", "10m", "2h", "1d")] == [90, 600, 7200, 86_400]
    assert seconds("2026-11-27T12:00:00+01:00") == datetime(2026, 11, 27, 11, tzinfo=UTC).timestamp()


def test_following_goes_on_with_new_lines_new_logs_and_whole_lines_only(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "POLL_S", 0)
    monkeypatch.setattr(log_lines, "PATIENCE_S", 1000)
    logs = Logs(data, Wanted(most=0, follow=True))
    assert list(logs.history()) == []
    batches = logs.follow()

    def new() -> list[object]:
        return [entry.content for _, entry in next(batches)]

    daemon = SlotLogs(data, 0, 0)
    daemon.look()
    assert new() == []
    app = daemon.open("a")
    os.write(app.fd, b"one\ntw")
    assert new() == []
    daemon.look()
    assert new() == [b"one"]
    os.write(app.fd, b"o\n")
    daemon.look()
    assert new() == [b"two"]
    other = daemon.open("b", "mailer")
    os.write(other.fd, b"mail\n")
    daemon.look()
    assert new() == [b"mail"]
    app.close()
    other.close()


def test_following_does_not_wait_for_a_daemon_that_is_gone(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "POLL_S", 0)
    monkeypatch.setattr(log_lines, "PATIENCE_S", 0)
    logs = Logs(data, Wanted(most=0, follow=True))
    list(logs.history())
    with (data / "slot-a.log").open("ab") as app:
        app.write(b"alone\n")

    (_, entry), *_ = next(logs.follow())

    assert entry.content == b"alone"
    assert entry.time == pytest.approx(time.time(), abs=5)
