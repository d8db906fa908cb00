"""What a client shows of the progress, without a daemon."""

import json
import time
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.spinner import Spinner

from slot_machine.cli import progress
from slot_machine.cli.client import Json

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


def test_a_long_stage_is_told_where_no_display_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Else a connection through which nothing passes may be cut."""
    alive: Json = {"event": "alive", "stage": "setup", "message": "", "seconds": 30.02}
    progress.follow(iter([EVENTS[0], alive, REPLY]), progress.Plain())
    assert capsys.readouterr().err.splitlines()[0] == "setup          30 s  so far: npm ci"
    terminal = progress.Terminal()
    terminal.show(alive)
    terminal.close()


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
