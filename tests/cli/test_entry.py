"""What `history` and `show` print, on 80 columns. People read it, so it may change; `--json` only gets more fields."""

from collections.abc import Iterator

import pytest

from slot_machine.cli import entry
from slot_machine.cli.client import Json

NOW_S = 1_700_000_000.0
"""2023-11-14T22:13:20Z"""

DEPLOY: Json = {
    "id": 1204,
    "kind": "deploy",
    "trigger": "cli",
    "commit": "c0ffee00" * 5,
    "slot": "a",
    "started_at": "2023-11-14T22:03:20.000Z",
    "stage": "drain",
    "result": "succeeded",
    "error": "",
    "seconds": 12.34,
    "stage_seconds": {"resolve": 0.01, "setup": 10.2, "drain": 0.3},
    "requests": {"finished": 3, "replayed": 0, "held": 0, "refused": 0, "cut": 1, "longest_drain_s": 0.2},
    "warnings": ["app.db lies in the tree\nshare it", "another"],
    "job": "",
    "who": "ada from 192.0.2.7",
    "message": "for the sale",
    "ref": "main",
    "subject": "Add up the cart's prices in cents, so that nobody pays a fraction",
    "author": "Ada Lovelace",
    "cause": "",
    "away_s": 0.0,
    "output": {"setup": "installing\ndone\n"},
}
FAILED = DEPLOY | {
    "id": 1203,
    "result": "failed",
    "stage": "setup",
    "error": "setup_command failed with exit code 1: npm ci",
    "who": "",
    "requests": "",
}
CRASH = DEPLOY | {
    "id": 1202,
    "kind": "crash",
    "trigger": "supervisor",
    "stage": "",
    "who": "",
    "error": "exit code 7",
    "cause": "crash",
    "away_s": 3.21,
}
RUNNING = DEPLOY | {"id": 7, "result": "running", "stage": "health", "seconds": 0.0, "ref": "", "subject": ""}

TABLE = """\
ID    AGE  KIND    COMMIT    RESULT         WHO           WHAT
1204  10m  deploy  c0ffee00  ok, 12 s       ada from ...  main: Add up the ca...
1203  10m  deploy  c0ffee00  failed: setup  -             setup_command faile...
1202  10m  crash   c0ffee00  away 3.2 s     -             exit code 7
7     10m  deploy  c0ffee00  runs: health   ada from ...
"""

DETAILS = """\
deploy 1204   succeeded
commit        c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00
subject       Add up the cart's prices in cents, so that nobody pays a fraction
author        Ada Lovelace
ref           main
slot          a
message       for the sale
by            ada from 192.0.2.7 (cli)
started       2023-11-14 22:03:20 +0000, 10 minutes ago
took          12 s: resolve 0.01s, setup 10.20s, drain 0.30s
requests      3 finished, 1 cut
warnings      app.db lies in the tree share it
              another

output of setup:
  | installing
  | done
"""


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slot_machine.cli.words.time.time", lambda: NOW_S)


def printed(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_table_has_a_line_for_each_entry() -> None:
    assert printed(entry.table([DEPLOY, FAILED, CRASH, RUNNING])) == TABLE
    assert max(map(len, TABLE.splitlines())) <= 80


def test_details_end_with_the_output() -> None:
    assert printed(entry.details(DEPLOY)) == DETAILS


@pytest.mark.parametrize(
    ("known", "outcome"),
    [
        (FAILED, "deploy 1203   failed in stage setup"),
        (CRASH, "crash 1202    runs again; the port answered 503 for 3.2 s"),
        (CRASH | {"result": "running", "away_s": 0}, "crash 1202    does not run"),
        (RUNNING, "deploy 7      runs, in stage health"),
    ],
)
def test_first_line_says_what_became_of_it(known: Json, outcome: str) -> None:
    assert printed(entry.details(known)).splitlines()[0] == outcome


def test_entry_of_an_older_daemon_has_fewer_fields() -> None:
    known = {name: DEPLOY[name] for name in ("id", "kind", "trigger", "commit", "started_at", "result", "seconds")}

    assert "by            nobody that is known (cli)\n" in printed(entry.details(known))
    assert len(list(entry.table([known]))) == 2


def test_entry_that_runs_has_taken_the_time_since_its_start() -> None:
    assert "took          10 minutes: resolve 0.01s, setup 10.20s, drain 0.30s" in entry.details(RUNNING)
