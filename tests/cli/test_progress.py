"""What a client shows of the progress, without a daemon."""

import json
import threading
import time
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.spinner import Spinner

from slot_machine.cli import progress, quiet
from slot_machine.cli.client import Json
from slot_machine.host import printing

EVENTS: list[Json] = [
    {"event": "started", "stage": "setup", "message": "npm ci", "seconds": 0.0},
    {"event": "output", "stage": "setup", "message": "added 1 package", "seconds": 0.5},
    {"event": "output", "stage": "setup", "message": "warning: old", "seconds": 0.6},
    {"event": "finished", "stage": "setup", "message": "", "seconds": 1.5},
]
REPLY: Json = {"success": True, "warnings": ["old", "late"]}


def lines() -> Iterator[Json]:
    yield from [*EVENTS, REPLY]


def test_lines_are_the_events_of_the_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    assert progress.follow(lines(), progress.Lines()) == REPLY
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == EVENTS
    assert err == ""


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert progress.follow(lines(), progress.Nothing()) == REPLY
    assert capsys.readouterr() == ("", "")


def test_plain_lines_have_each_warning_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress.follow(lines())
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "  | added 1 package",
        "  | warning: old",
        "setup        1.50 s  npm ci",
        "  | warning: late",
    ]


def test_a_silent_stage_says_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a connection through which nothing passes may be cut."""
    monkeypatch.setattr(quiet, "AFTER_S", 0.02)
    said = threading.Event()

    def lines() -> Iterator[Json]:
        yield EVENTS[0]
        said.wait(20)
        yield REPLY

    def note(text: str) -> None:
        noted.append(text)
        said.set()

    noted: list[str] = []
    monkeypatch.setattr(printing, "note", note)
    progress.follow(lines(), progress.Plain())
    assert noted[0] == "setup           0 s  so far: npm ci"


def test_a_silent_stream_of_lines_stays_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "AFTER_S", 0.001)
    shown = ""

    def lines() -> Iterator[Json]:
        nonlocal shown
        while " " not in shown:
            shown += capsys.readouterr().out
        yield from [*EVENTS, REPLY]

    progress.follow(lines(), progress.Lines())
    shown += capsys.readouterr().out
    assert [json.loads(line) for line in shown.splitlines()] == EVENTS


def test_stage_that_runs_has_its_seconds_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    running = progress.Running("[bold]setup    [/]", "npm ci " * 30)
    began_s = time.monotonic()
    for seconds, shown in ((0, "    0 s"), (75, "   75 s")):
        monkeypatch.setattr(time, "monotonic", lambda now=began_s + seconds: now)
        console = Console(width=80)
        with console.capture() as captured:
            console.print(Spinner("dots", running))
        (line,) = captured.get().splitlines()
        assert line[2:].startswith(f"setup     {shown}  npm ci")
        assert len(line) <= 80
