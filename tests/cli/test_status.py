"""What `status` prints, on 80 columns. People read it, so it may change; `--json` only gets more fields."""

import subprocess
import sys

import pytest

from slot_machine.cli import status_words, words
from slot_machine.cli.client import Json

NOW_S = 1_700_000_000.0
"""2023-11-14T22:13:20Z"""

ATTEMPT: Json = {
    "id": 12,
    "kind": "deploy",
    "commit": "c0ffee00" * 5,
    "who": "ada from 192.0.2.7",
    "result": "failed",
    "stage": "setup",
    "seconds": 3.21,
    "started_at": "2023-11-14T21:13:20.000Z",
    "error": "setup_command failed with exit code 1: npm ci",
}
LIVE: Json = {
    "name": "shop",
    "port": 3000,
    "traffic": "proxy",
    "version": "0.2.0",
    "live_slot": "a",
    "live_commit": "0123456789" * 4,
    "live_subject": "Add up the cart's prices in cents, so that no customer pays a fraction of one",
    "live_author": "Ada Lovelace",
    "live_committed_at": "2023-11-11T22:13:20+00:00",
    "live_ref": "main",
    "previous_slot": "b",
    "previous_commit": "abcdef0123" * 4,
    "previous_subject": "Begin",
    "previous_ready": True,
    "last_deploy_time": "2023-11-12T20:13:20.000Z",
    "healthy": True,
    "pid": 4711,
    "uptime_s": 7300.5,
    "memory_mb": 182.4,
    "cpu_percent": 3.1,
    "restart_counts": [
        {"process": "web", "cause": "crash", "number": 2, "last_at": "2023-11-14T20:13:20Z"},
        {"process": "worker.1", "cause": "restart", "number": 1, "last_at": "2023-11-13T20:13:20Z"},
    ],
    "last_exits": [
        {
            "process": "web",
            "how": "killed by SIGSEGV",
            "at": "2023-11-14T20:13:20Z",
            "commit": "0123456789" * 4,
            "slot": "a",
            "lines": [
                "Segmentation fault",
                "at the end of a line that is longer than all of the eighty columns are",
            ],
        }
    ],
    "processes": [
        {
            "name": "worker",
            "index": 1,
            "state": "running",
            "pid": 4712,
            "memory_mb": 90.1,
            "restarts": 0,
            "last_exit": "",
        }
    ],
    "retiring": [],
    "jobs": [
        {
            "name": "nightly",
            "schedule": "0 3 * * *",
            "next": "2023-11-15T03:00:00Z",
            "last": "2023-11-14T03:00:00Z",
            "result": "succeeded",
            "overdue": False,
        }
    ],
    "shared": {"uploads": "linked", "app.db": "replaced"},
    "last_attempt": ATTEMPT,
}

WHEN_HEALTHY = """\
app           shop on port 3000, proxy, slot-machine 0.2.0
live          01234567 Add up the cart's prices in cents, so that no customer...
              by Ada Lovelace, 3 days ago, asked for as main
health        healthy
slot          a, pid 4711, up 2 hours, live for 2 days
uses          182.4 MB memory, 3.1 % of a CPU
processes     worker 1 running, pid 4712, 90.1 MB
restarts      crashed 2 times, last 2 hours ago
              worker.1: restarted once, last 1 day ago
last exit     killed by SIGSEGV, 2 hours ago, 01234567 in slot a
              | Segmentation fault
              | at the end of a line that is longer than all of the eighty
              columns are
rollback to   abcdef01 Begin
              in slot b, ready
last attempt  deploy of c0ffee00 by ada from 192.0.2.7 failed in stage setup
              after 3.2 s, 1 hour ago: setup_command failed with exit code 1:
              npm ci
jobs          nightly (0 3 * * *) next in 4 hours; last 19 hours ago succeeded
shared        uploads linked
              app.db replaced
"""


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slot_machine.cli.words.time.time", lambda: NOW_S)


def printed(known: Json) -> str:
    return "".join(f"{line}\n" for line in status_words.lines(known))


def test_healthy_app() -> None:
    assert printed(LIVE) == WHEN_HEALTHY
    assert max(map(len, WHEN_HEALTHY.splitlines())) <= 80


def test_app_that_waits_to_be_started_again_is_never_shown_as_fine() -> None:
    known = LIVE | {
        "healthy": False,
        "pid": 0,
        "state": "crash loop",
        "unhealthy_reason": "it does not run: exit code 1; it is started again in 8 s",
    }
    lines = printed(known).splitlines()
    assert "health        UNHEALTHY (crash loop): it does not run: exit code 1; it is" in lines
    assert "slot          a, live for 2 days" in lines
    assert "health        healthy, but it ended a short time ago (unsteady)" in printed(LIVE | {"state": "unsteady"})


def test_nothing_is_live() -> None:
    known = {"port": 3000, "traffic": "proxy", "version": "0.2.0", "live_commit": "", "healthy": False}
    assert printed(known) == (
        "app           app on port 3000, proxy, slot-machine 0.2.0\n"
        "live          nothing; `slot-machine deploy` makes a commit live\n"
    )


def test_status_of_an_older_daemon_has_fewer_fields() -> None:
    known = {"live_slot": "a", "live_commit": "0123456789", "healthy": True, "pid": 7, "version": "0.1.0"}
    assert "live          01234567\n" in printed(known)


def test_process_that_is_not_restarted_for_its_memory_any_more_is_named() -> None:
    assert "too large     worker: it takes 150 MB" in printed(LIVE | {"too_large": {"worker": "it takes 150 MB"}})


FOLLOW: Json = {
    "remote": "origin",
    "branch": "main",
    "commit": "c0ffee00" * 5,
    "state": "live",
    "reason": "which is live",
    "looked_at": "2023-11-14T22:13:08Z",
    "error": "",
    "next_s": 48.0,
}


def test_branch_that_is_followed_is_shown_with_the_last_look() -> None:
    assert (
        "follows       main of origin, looked 12 s ago\n              main is at c0ffee00, which is live\n"
        in printed(LIVE | {"follow": FOLLOW})
    )
    assert "follows" not in printed(LIVE | {"follow": ""})
    never = printed(LIVE | {"follow": FOLLOW | {"commit": "", "looked_at": ""}})
    assert "follows       main of origin, it has not looked yet\n" in never


def test_commit_that_is_left_out_is_named_with_what_deploys_it() -> None:
    left_out = FOLLOW | {"state": "left_out", "reason": "left out since the rollback"}
    lines = printed(LIVE | {"follow": left_out})
    assert "main is at c0ffee00, left out since the rollback\n" in lines
    assert "`slot-machine deploy c0ffee00` deploys it all the same\n" in lines


def test_commit_that_no_deploy_can_make_live_is_not_offered() -> None:
    unusable = FOLLOW | {"state": "left_out", "reason": "left out as its file is wrong", "unusable": True}
    lines = printed(LIVE | {"follow": unusable})
    assert "main is at c0ffee00, left out as its file is wrong\n" in lines
    assert "no deploy of it can succeed: correct it in another commit\n" in lines
    assert "all the same" not in lines


def test_webhook_is_shown_with_its_last_call() -> None:
    hook: Json = {"url": "http://shop:9300/hook", "accepted_at": "2023-11-14T22:13:08Z", "refused": 0, "error": ""}
    assert "webhook       http://shop:9300/hook, called 12 s ago\n" in printed(LIVE | {"webhook": hook})
    assert ", not called yet\n" in printed(LIVE | {"webhook": hook | {"accepted_at": ""}})
    refused = {"refused": 2, "refused_at": "2023-11-14T22:13:18Z", "refused_why": "it has no proof"}
    assert "2 refused, last 2.0 s ago: it has no proof\n" in printed(LIVE | {"webhook": hook | refused})
    assert "FAILED, it does not listen: no secret\n" in printed(LIVE | {"webhook": hook | {"error": "no secret"}})


def test_look_that_failed_is_shown_with_its_error() -> None:
    failed = FOLLOW | {"error": "git fetch failed: no route", "hint": "mend it"}
    lines = " ".join(printed(LIVE | {"follow": failed}).split())
    assert "the last look FAILED, and it looks again in 48 s: git fetch failed: no route mend it" in lines
    assert max(map(len, printed(LIVE | {"follow": failed}).splitlines())) <= 80


@pytest.mark.parametrize(
    ("seconds", "said", "in_short"),
    [
        (0.04, "0.0 s", "0s"),
        (9.96, "10.0 s", "10s"),
        (59.4, "59 s", "59s"),
        (60, "1 minute", "1m"),
        (3599, "59 minutes", "59m"),
        (7200, "2 hours", "2h"),
        (86400 * 400, "400 days", "400d"),
    ],
)
def test_durations(seconds: float, said: str, in_short: str) -> None:
    assert words.span(seconds) == said
    assert words.short_span(seconds) == in_short


def test_status_imports_no_library() -> None:
    """Importing one takes longer than everything else that `status` does."""
    program = (
        "import sys; before = set(sys.modules); import slot_machine.cli.status\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names\n"
        "print(*sorted(names))"
    )
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert imported.split() == ["slot_machine"]


def test_time_of_maintenance_and_number_of_restarts_are_in_words() -> None:
    notice = {"since": "2023-11-14T22:08:20.000Z", "message": "Back\nat ten.", "page": False}
    worker = {"name": "worker", "index": 1, "state": "unsteady", "pid": 0, "restarts": 1, "last_exit": "exit code 9"}

    shown = status_words.lines(LIVE | {"maintenance": notice, "processes": [worker]})

    assert "maintenance   begun 5 minutes ago: Back at ten." in shown
    assert "processes     worker 1 unsteady, started again once: exit code 9" in shown


def test_verdict_on_a_version_that_has_a_share_is_told() -> None:
    shared = {"commit": "c0ffee00" * 5, "slot": "b", "state": "sharing", "share": 10.0, "verdict": "better"}

    lines = " ".join(printed(LIVE | {"candidate": shared | {"since": "2023-11-14T22:08:20.000Z"}}).split())

    assert "c0ffee00 in slot b has 10% of the visitors, begun 5 minutes ago: better `slot-machine promote`" in lines

    slow = shared | {"since": "2023-11-14T22:08:20.000Z", "warnings": ["9 % of the requests took more than 1 s"]}
    lines = " ".join(printed(LIVE | {"candidate": slow}).split())
    assert "5 minutes ago: better warning: 9 % of the requests took more than 1 s `slot-machine promote`" in lines


def test_the_link_of_a_preview_is_on_a_line_of_its_own() -> None:
    """It can be copied, and is not broken, though it does not fit."""
    link = "https://shop.example.com/?slot-machine-preview=KcpuVoiX-otaABnPPHIq3Kx9"
    held = {"commit": "c0ffee00" * 5, "slot": "b", "state": "held", "since": "2023-11-14T22:08:20.000Z"}

    lines = printed(LIVE | {"candidate": held | {"preview_url": link}}).splitlines()

    assert sum(line.split()[-1:] == [link] for line in lines) == 1
    assert "every address of the app" in " ".join(" ".join(lines).split())
    assert "preview " not in printed(LIVE | {"candidate": held | {"preview_url": ""}})


def test_lines_fit_however_long_the_names_are() -> None:
    wide = "漢字" * 60
    hostile = {"live_author": f"\x1b[8m{wide}", "live_ref": f"feat/{wide}"}

    shown = status_words.lines(LIVE | hostile | {"last_attempt": ATTEMPT | {"who": f"\u202e{wide}"}})

    assert max(map(words.width, "\n".join(shown).split("\n"))) <= 80
