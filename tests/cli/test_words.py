"""Texts that fit on 80 columns, also those whose characters take two, or are shown as several others."""

import pytest

from slot_machine.cli import entry, listing, status_words, words
from slot_machine.cli.client import Json
from slot_machine.cli.listing import Row
from slot_machine.host.process.proc import Identity
from slot_machine.host.registry import Entry

SUBJECTS = ("plain " * 30, "漢字 " * 40, "\x1b[31mred\u202e " * 20, "e\u0301te\u0301 " * 30, "👍 " * 60)


@pytest.mark.parametrize(
    ("text", "columns"), [("plain", 5), ("漢字", 4), ("e\u0301", 1), ("\x1b[m", 4), ("\u202e", 6), ("👍", 2)]
)
def test_width_is_that_on_the_terminal(text: str, columns: int) -> None:
    assert words.width(text) == columns
    assert words.pad(text, 10) == text + " " * (10 - columns)


@pytest.mark.parametrize(
    ("text", "cut"), [("漢字漢字漢字", "漢字..."), ("漢字漢", "漢字漢"), ("\x1b[31mred", "^[[3...")]
)
def test_what_is_cut_takes_no_more_than_was_asked_for(text: str, cut: str) -> None:
    assert words.cut(text, 7) == cut


@pytest.mark.parametrize("subject", SUBJECTS)
def test_lists_and_status_fit_whatever_a_subject_has(subject: str) -> None:
    at = "2023-11-14T22:03:20.000Z"
    known: Json = {"kind": "deploy", "commit": "c" * 40, "result": "succeeded", "started_at": at, "subject": subject}
    live: Json = {"live_commit": "c" * 40, "live_subject": subject, "live_author": subject, "healthy": True}
    daemon = Entry(
        name="shop", data="", repo="", files=(), port=1, api_port=2, version="", uid=0, process=Identity(1, 1, "")
    )
    lines = [
        *entry.table([known]),
        *entry.details(known),
        *listing.table([Row(daemon, live)]),
        *status_words.lines(live),
    ]

    assert max(words.width(part) for line in lines for part in line.splitlines()) <= 80
