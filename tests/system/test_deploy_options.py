"""The options of deploy, rollback and restart, as a user and as a program give them."""

import json
import os
import pty
import re
import select
import subprocess

from spec.orchestrator import environment

from tests.world import Site

SETUP = "test ! -e setup.sh || sh setup.sh"


def history(site: Site) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in ("kind", "who", "message", "ref", "result")) for row in site.history()]


def test_options_before_and_after_the_argument(site: Site) -> None:
    site.start()
    first = site.commit("one")
    site.git("branch", "old")
    second = site.commit("two")
    named = site.run("deploy", "--by", "ci", "old", "-m", "the fix", "-q")
    assert (named.returncode, named.stdout, named.stderr) == (0, f"deployed {first} to slot a\n", "")
    (site.repo / "new file").touch()
    as_json = site.run("deploy", "--json")
    assert as_json.returncode == 0, as_json.stderr
    reply = json.loads(as_json.stdout)
    assert (reply["success"], reply["commit"]) == (True, second)
    assert reply["warnings"] == ["not committed, so not deployed: new file"]
    assert as_json.stderr.startswith("warning: not committed, so not deployed: new file\nresolve ")
    assert site.run("deploy", "--", "old").returncode == 0
    assert site.run("deploy", "--", "--json").returncode == 1, "after --, it is a ref"
    (site.repo / "new file").unlink()

    assert "ID" in site.run("rollback", "--help").stdout
    assert site.run("rollback", "--nothing").returncode == 2
    assert site.run("rollback", "--stream").returncode == 2
    assert site.run("rollback", "").returncode == 2, "the variable of a script was empty"
    wrong = site.run("rollback", "77")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert re.search(rf"hint: .*\n +2  {second[:8]}  ", wrong.stderr), wrong.stderr
    back = site.run("rollback", "2", "--by=me", "--json")
    assert json.loads(back.stdout)["commit"] == second
    assert site.serving() == "two"
    restarted = site.run("restart", "--json", "--quiet", "-m", "leak")
    assert (json.loads(restarted.stdout)["slot"], restarted.stderr) == (site.status()["live_slot"], "")
    assert history(site)[0] == ("deploy", "ci", "the fix", "old", "succeeded")
    assert [row[0:3] for row in history(site)][-2:] == [
        ("rollback", "me", ""),
        ("restart", history(site)[-1][1], "leak"),
    ]


def test_json_is_one_document_or_one_a_line_though_stdout_is_a_terminal(site: Site) -> None:
    site.start(setup_command=SETUP)
    site.commit("one", {"setup.sh": "echo installing"})
    events = on_terminal(site, "deploy", "--json", "--stream")
    *progress, reply = (json.loads(line) for line in events)
    assert reply["success"] is True
    assert {"event": "output", "stage": "setup", "message": "installing"}.items() <= next(
        line
        for line in progress
        if line["event"] == "output" and line["stage"] == "setup" and "runs" not in line["message"]
    ).items()
    assert [line["stage"] for line in progress if line["event"] == "finished"][-2:] == ["switch", "drain"]
    site.commit("bad", exit=3)
    for args, code in (("nothing",), 1), (("--stream", "nothing"), 1), (("--nothing",), 2), (("a", "b"), 2):
        (refusal,) = on_terminal(site, "deploy", "--json", *args, exit_code=code)
        assert json.loads(refusal)["success"] is False
    (failure,) = on_terminal(site, "deploy", "--json", exit_code=1)
    assert (json.loads(failure)["success"], json.loads(failure)["stage"]) == (False, "health")


def on_terminal(site: Site, *args: str, exit_code: int = 0) -> list[str]:
    """What the command writes to its stdout, which is a terminal."""
    terminal, theirs = pty.openpty()
    with subprocess.Popen(
        [site.orchestrator.binary, *args],
        cwd=site.repo,
        env=environment(),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    ) as running:
        os.close(theirs)
        shown = b""
        while select.select([terminal], [], [], 20)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
    os.close(terminal)
    assert running.returncode == exit_code, shown
    return shown.decode().splitlines()
