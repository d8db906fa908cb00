"""What `list` prints of daemons, on a terminal of 80 columns."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from slot_machine import __version__
from slot_machine.cli import daemons, listing
from slot_machine.cli.client import Json
from slot_machine.cli.commands import list as list_command
from slot_machine.cli.listing import Row
from slot_machine.core.errors import ConfigError
from slot_machine.host import registry
from slot_machine.host.process.proc import Identity
from slot_machine.host.registry import Entry

COMMIT = "6c1e096efea8911923e70c62d0a96935c6783ba1"


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def entry(name: str = "shop", version: str = __version__, uid: int | None = None, repo: str = "/srv/shop") -> Entry:
    return Entry(
        name=name,
        data=f"{repo}/.slot-machine",
        repo=repo,
        files=(f"{repo}/slot-machine.json",),
        port=3000,
        api_port=9100,
        version=version,
        uid=os.geteuid() if uid is None else uid,
        process=Identity(7, 1, "boot"),
    )


def row(of: Entry, subject: str = "Count the items", age_s: float = 26 * 3600) -> Row:
    live: Json = {"live_commit": COMMIT, "healthy": True, "restarts": 2, "live_subject": subject}
    return Row(of, live | {"uptime_s": age_s, "memory_mb": 45.2})


def test_line_of_a_daemon() -> None:
    assert list(listing.table([row(entry())])) == [
        "NAME  PORT  COMMIT    HEALTHY  UP   RESTARTS  MEMORY  VERSION  SUBJECT",
        "shop  3000  6c1e096e  yes      26h  2         45 MB   0.1.0    Count the items",
    ]
    assert list(listing.remarks([row(entry())])) == []


def test_lines_fit_the_terminal() -> None:
    rows = [row(entry("a-rather-long-name-of-an-app" * 9), "A subject of more than eighty columns " * 3), row(entry())]

    lines = list(listing.table(rows))

    assert max(map(len, lines)) == 80
    assert lines[1].startswith("a-rather-l... ")
    assert lines[1].endswith(" A sub...")


def test_older_daemon_is_marked() -> None:
    rows = [row(entry(version="0.0.9")), row(entry(version="99.0"))]

    assert [line.split()[8] for line in listing.table(rows)][1:] == ["0.0.9*", "99.0"]
    assert list(listing.remarks(rows)) == [
        f"* older than the installed {__version__}; `slot-machine reload --all` updates them"
    ]
    assert max(map(len, listing.remarks(rows))) <= 80
    assert [each.fields()["older"] for each in rows] == [True, False]


def test_daemon_that_does_not_answer() -> None:
    rows = [Row(entry(), {}, "timed out")]

    assert list(listing.table(rows))[1].split() == ["shop", "3000", "-", "?", "-", "-", __version__]
    assert list(listing.remarks(rows)) == ["shop does not answer: timed out"]


def test_what_others_wrote_stays_in_its_line() -> None:
    assert list(listing.table([row(entry(), "a\n\tb\x1b[2J")]))[1].endswith(" a b^[[2J")


def test_users_are_told_apart_where_there_are_several() -> None:
    heading, line, _ = listing.table([row(entry(uid=os.geteuid() + 4711)), row(entry())])

    assert heading.split()[:3] == ["NAME", "USER", "PORT"]
    assert "4711" in line


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d")]
)
def test_age_has_one_unit(seconds: int, shown: str) -> None:
    assert list(listing.table([row(entry(), age_s=seconds + 0.5)]))[1].split()[4] == shown


def test_empty_list_says_that_there_may_be_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "running", list)
    runner = CliRunner()

    shown = runner.invoke(list_command.command, [])
    as_json = runner.invoke(list_command.command, ["--json"])

    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == "no daemon of yours runs; others may run under other users\n"
    assert (as_json.exit_code, as_json.stdout, as_json.stderr) == (0, "[]\n", "")


def test_folder_without_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its repository's daemon is meant; elsewhere the only one, but in no repository that has another app."""
    shop, web = entry(repo="/srv/shop"), entry("web", repo="/srv/shop/web")
    running = [shop, web]
    monkeypatch.setattr(registry, "running", lambda: running)

    assert daemons.around("/srv/shop/web/static") == web
    assert daemons.around("/srv/shop/webapp") == shop
    with pytest.raises(ConfigError, match="several daemons run, so nothing was done\nshop: "):
        daemons.around(str(tmp_path))
    running.remove(web)
    assert daemons.around(str(tmp_path)) == shop
    (tmp_path / ".git").mkdir()
    with pytest.raises(ConfigError, match=f"no running daemon has the repository {tmp_path}"):
        daemons.around(str(tmp_path / "below"))
    running.append(entry("staging", repo="/srv/shop"))
    with pytest.raises(ConfigError, match="several daemons have /srv/shop, so"):
        daemons.around("/srv/shop")
    running.clear()
    assert daemons.around(str(tmp_path)) is None
