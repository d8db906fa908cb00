"""What an app, a setup, a commit or a file's name can put into the output is shown to the terminal, not sent."""

import io
import os
import re
import shlex
import sys

import pytest

from slot_machine.host.printing import coloured, continued, shown, takes_sequences
from tests.shown import on_terminal
from tests.system.fake_daemon import daemon_that_says
from tests.world import Site

HOSTILE = (
    b"\x1b]52;c;bHM=\x07 \x1b]8;;http://x.invalid\x1b\\ \x1b[3;3H\x1b[2J \x1bc back\x08\rover \x7f \x0e \xc2\x9b2J "
    b"raw\x9b2J \xe2\x80\xae \xe2\x81\xa6 \xe2\x80\x8f \xd8\x9c \xe2\x80\xa8 \x1b[31mred"
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
OURS = re.compile(r"\x1b\[\?25[lh]|\r?(\x1b\[1A|\x1b\[2K)+|\r(?=\n)")
"""What shows the stage that runs, and the line ends of a terminal."""


def harmful(text: bytes) -> list[str]:
    """What a terminal would obey. Text that is no UTF-8 is an error."""
    left = OURS.sub("", COLOUR.sub("", text.decode()))
    return [character for character in left if shown(character) != character]


@pytest.mark.parametrize(
    ("text", "as_shown"),
    [
        ("tab\tand\nline feed, ä, 漢, 👍", "tab\tand\nline feed, ä, 漢, 👍"),
        ("\x00\x07\x08\x0b\x0c\x1b\x1f\x7f", "^@^G^H^K^L^[^_^?"),
        ("\x80\x85\x9b", "\\x80\\x85\\x9b"),
        (b"\x9b\xc3(".decode(errors="surrogateescape"), "\\x9b\\xc3("),
        ("over\rwritten\r\r\n", "over^Mwritten^M\n"),
        ("\u061c\u200e\u200f\u202a\u202e\u2066\u2069", "\\u061c\\u200e\\u200f\\u202a\\u202e\\u2066\\u2069"),
        ("\x1b[31mred", "^[[31mred"),
    ],
)
def test_what_is_shown_of_a_text(text: str, as_shown: str) -> None:
    assert shown(text) == as_shown


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("\x1b[1;31mred\nplain", "\x1b[1;31mred\x1b[0m\nplain"),
        ("\x1b[mreset", "\x1b[mreset\x1b[0m"),
        ("\x1b[2J\x1b[?25l\x1b[31", "^[[2J^[[?25l^[[31"),
        (f"\x1b[{'1' * 40}m", f"^[[{'1' * 40}m"),
        ("\r\x1b[31mred\r\n", "^M\x1b[31mred\x1b[0m\n"),
    ],
)
def test_colours_pass_on_a_terminal_and_end_with_their_line(text: str, sent: str) -> None:
    assert coloured(text) == sent


@pytest.mark.parametrize(
    ("terminal", "variable", "takes"), [(True, "", True), (True, "1", False), (False, "", False), (False, "1", False)]
)
def test_only_a_terminal_without_no_color_gets_control_sequences(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, variable: str, takes: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", variable)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)

    assert takes_sequences(stream) is takes


def test_second_line_is_indented() -> None:
    assert continued("one\nerror: two\n  | three") == "one\n  error: two\n  | three"


def test_whatever_a_process_prints_or_logs(site: Site) -> None:
    code = (
        "import logging, sys; from slot_machine.host import printing; printing.guard(); printing.log_to_stderr()\n"
        "print(sys.argv[1]); logging.info(sys.argv[1] + '\\nINFO forged'); raise ValueError(sys.argv[1])"
    )
    status, got = on_terminal(sys.executable, "-c", code, os.fsdecode(HOSTILE), cwd=site.folder)

    assert status == 1
    assert harmful(got) == []
    assert got.count(rb"raw\x9b2J") == 3
    assert got.count(b"\x1b[31mred\x1b[0m\r\n") == 3
    assert b"\n  INFO forged" in got


def test_output_of_setup_and_app_in_a_deploy(site: Site) -> None:
    (site.repo / "hostile").write_bytes(HOSTILE + b"\n")
    start = f"cat hostile; exec {shlex.quote(sys.executable)} -IS app.py"
    site.start(setup_command="cat hostile", start_command=start)
    site.commit("\u202e bad", exit=3)

    status, got = on_terminal(site.orchestrator.binary, "deploy", cwd=site.repo)
    piped = site.run("deploy", "--setup")
    _, plain = on_terminal(site.orchestrator.binary, "deploy", cwd=site.repo, variables={"NO_COLOR": "1"})

    assert b"^[[31mred" in plain
    assert b"\x1b" not in plain
    assert status == piped.returncode == 1
    assert harmful(got) == []
    for text in (got, piped.stderr.encode()):
        assert text.count(b"^[]52;c;bHM=^G") == 2
        assert b"back^H^Mover" in text
        assert text.count(rb"raw\x9b2J") == 2
    assert "\x1b" not in piped.stderr
    assert piped.stderr.count("^[[31mred") == 2
    assert harmful(site.daemons[0].log.read_bytes()) == []
    assert HOSTILE in (site.data / "slot-a.log").read_bytes()


def test_branch_and_folder_of_any_name(site: Site) -> None:
    site.commit("v1")
    folder = site.repo / os.fsdecode(HOSTILE.replace(b"/", b""))
    folder.mkdir()
    name = os.fsdecode(HOSTILE)
    with daemon_that_says(site, "{}", "{}"):
        for command in (["deploy", "\u009b2J\u202e"], ["deploy", name], ["init"], [name]):
            _, got = on_terminal(site.orchestrator.binary, *command, cwd=folder)
            assert got
            assert harmful(got) == []


def test_reply_of_any_text(site: Site) -> None:
    said = '"\\u001b]52;c;bHM=\\u0007\\u009b2J\\r\\u202e\\ud800\\nerror: forged"'
    refusal = f'{{"success": false, "error": {said}, "stage": {said}, "hint": {said}, "warnings": [{said}]}}'
    events = f'{{"event": "%s", "stage": "\\u001b[2J", "message": {said}, "seconds": 1}}\n'
    told = "".join(events % event for event in ("started", "output", "finished", "failed"))
    status = f'{{"live_slot": "", "live_commit": {said}, "unhealthy_reason": {said}}}'
    with daemon_that_says(site, status, *[told + refusal] * 3):
        for command in ("status", "deploy", "rollback", "cancel"):
            site.commit(command)
            _, got = on_terminal(site.orchestrator.binary, command, cwd=site.repo)
            assert b"forged" in got
            assert harmful(got) == []
            assert not re.search(rb"^error: forged", got, re.MULTILINE)
