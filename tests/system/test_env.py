"""`slot-machine env`: variables are stored, and one restart applies them."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from spec.orchestrator import environment

from tests.terminal import on_terminal
from tests.world import Site

PYTHON = f"{shlex.quote(sys.executable)} -IS app.py"
START = f'test -z "$FAIL" || exit 3; printf "%s" "$COLOUR" > colour; exec {PYTHON}'


def env(site: Site, *args: str, text: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [site.orchestrator.binary, "env", *args],
        cwd=site.repo,
        env=environment() | variables,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def colour(site: Site) -> str:
    """What the live app was started with."""
    return (site.data / "live/colour").read_text()


def kinds(site: Site) -> list[object]:
    return [attempt["kind"] for attempt in site.history()]


def test_variables_are_stored_and_applied_by_one_restart(site: Site) -> None:
    path = site.repo / ".env"
    path.write_text("# ours\nCOLOUR=red # for now\n")
    (site.repo / ".gitignore").write_text(".slot-machine\nslot-machine.json\n.env\ncolour\n")
    site.start(env_file=".env", start_command=START)
    site.commit("v1")
    assert "the next deploy applies it" in env(site, "set", "SECRET=hunter22").stdout
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert colour(site) == "red"

    done = env(site, "set", "COLOUR=dark blue", "NEXT_PUBLIC_URL=x", "A=1")

    assert (done.returncode, done.stdout) == (0, "set COLOUR, NEXT_PUBLIC_URL, A; restarted\n")
    assert "only a new build applies the change" in done.stderr
    assert "NEXT_PUBLIC_URL" in done.stderr
    assert colour(site) == "dark blue"
    assert kinds(site) == ["deploy", "restart"]
    assert path.read_text() == "# ours\nCOLOUR='dark blue' # for now\nSECRET=hunter22\nNEXT_PUBLIC_URL=x\nA=1\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert env(site, "set", "A=1").stdout == "nothing has changed\n"
    assert env(site, "unset", "A", "--no-restart").returncode == 0
    assert kinds(site) == ["deploy", "restart"]

    failed = env(site, "set", "FAIL=1", "COLOUR=green")

    assert (failed.returncode, failed.stdout) == (1, "")
    assert "set FAIL, COLOUR: stored, not applied" in failed.stderr
    assert (colour(site), site.serving()) == ("dark blue", "v1")
    assert "FAIL=1\n" in path.read_text()
    edited = env(site, "edit", EDITOR="sed -i -e /FAIL/d -e s/dark/light/")
    assert (edited.returncode, edited.stdout) == (0, "stored; restarted\n")
    assert colour(site) == "green"


def test_values_are_hidden_and_read_without_an_echo(site: Site) -> None:
    site.start(env_file=".env")
    value = "two\nlines, ünd \"quotes\" 'too' \\"
    assert env(site, "set", "--no-restart", "SECRET", text=f"{value}\n").returncode == 0
    command = [str(site.orchestrator.binary), "env", "set", "TOKEN", "--no-restart"]
    with on_terminal(command, site.repo, environment()) as terminal:
        terminal.expect("TOKEN: ")
        terminal.type("hunter22\r")
        terminal.expect("set TOKEN")
        assert terminal.exit_code() == 0
        assert "hunter22" not in terminal.before + terminal.shown

    listed, got = env(site, "list"), env(site, "get", "SECRET")
    shown = env(site, "get", "SECRET", "--show").stdout
    as_json = json.loads(env(site, "list", "--json", "--show").stdout)

    assert listed.stdout == "SECRET\nTOKEN\n"
    assert (got.returncode, got.stdout) == (0, "")
    assert "is set" in got.stderr
    assert shown == f"{value}\n"
    assert as_json["variables"] == {"SECRET": value, "TOKEN": "hunter22"}
    assert "variables" not in json.loads(env(site, "list", "--json").stdout)
    missing = env(site, "get", "NOPE", "--json")
    assert (missing.returncode, json.loads(missing.stdout)["success"]) == (1, False)
    assert env(site, "set", "A", "B").returncode == 2
    assert env(site, "unset", "NOPE").returncode == 1
    refused = env(site, "set", "9X=hunter22")
    assert refused.returncode == 1
    assert "hunter22" not in refused.stderr + refused.stdout


def test_without_a_daemon_it_is_stored_and_without_a_field_it_says_which(site: Site) -> None:
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"env_file": "config/env"}))
    (site.repo / "config").mkdir()

    assert env(site, "set", "A=1").stdout == "set A; the next start of the app applies it\n"
    assert (site.repo / "config/env").read_text() == "A=1\n"
    bad = env(site, "edit", EDITOR="cp bad")
    assert bad.returncode == 1
    (site.repo / "bad").write_text('A="1" 2\n')
    draft = env(site, "edit", EDITOR="sh -c 'cat bad > $1' x")
    assert "nothing was stored: line 1 is not" in draft.stderr
    kept = Path(draft.stderr.rpartition(" ")[2].strip())
    assert (kept.read_text(), kept.stat().st_mode & 0o077) == ('A="1" 2\n', 0)
    os.unlink(kept)

    (site.repo / "slot-machine.json").write_text(json.dumps(site.config))
    none = env(site, "set", "A=1")
    assert none.returncode == 1
    assert '"env_file": ".env"' in none.stderr
