"""Jobs of a running daemon. A schedule is due at a full minute at the earliest, so each test waits for one."""

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from spec.waiting import wait_until
from spec.web import exchange

from tests.processes import alive, kill_daemon
from tests.world import Site, metric

FILE = "app.json"
APP = f"exec {shlex.quote(sys.executable)} -IS app.py"
LONG = "echo $$ $(pwd) >>../long; while test ! -e ../go; do sleep 0.05; done; exit 4"
TELL = 'echo "$SLOT_MACHINE_SLOT $FROM_FILE" >>../told'
FAIL = "echo first; echo no such table >&2; exit 3"
NEXT_MINUTE_S = 90.0


def deploy(site: Site, version: str, **jobs: str) -> str:
    cron = {name: {"schedule": "* * * * *", "command": command} for name, command in jobs.items()}
    commit = site.commit(version, {FILE: json.dumps({"start_command": APP, "cron": cron})})
    reply = site.post("/deploy", {"commit": commit})
    assert reply.status == 200, reply
    assert site.serving() == version
    return commit


def jobs(site: Site) -> dict[str, dict[str, object]]:
    listed = cast(list[dict[str, object]], site.status()["jobs"])
    return {str(job["name"]): job for job in listed}


def of_jobs(site: Site) -> list[dict[str, object]]:
    """Their entries in the history, the latest first."""
    _, text = exchange(site.api_port, "GET", "/history?limit=100&jobs=true")
    return cast(list[dict[str, object]], json.loads(text))


def entry(site: Site, job: str) -> dict[str, object]:
    """The first one."""
    return [found for found in of_jobs(site) if found["job"] == job][-1]


def next_minute(what: str, condition: Callable[[], object]) -> None:
    wait_until(what, condition, limit_s=NEXT_MINUTE_S)


def long_runs(site: Site) -> list[tuple[int, str]]:
    """The pid and the folder of each run of LONG."""
    path = site.data / "long"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), Path(folder).name) for pid, folder in map(str.split, lines)]


def test_a_job_each_minute_through_deploys_a_reload_and_a_kill(site: Site) -> None:
    (site.repo / ".env").write_text("FROM_FILE=yes\n")
    site.start(app_config=FILE, env_file=".env", start_command="false", cron_timezone="Europe/Zurich")
    deploy(site, "v1", long=LONG, tell=TELL, fail=FAIL)
    assert {(name, str(job["last"]), job["result"]) for name, job in jobs(site).items()} == {
        (name, "", "") for name in ("long", "tell", "fail")
    }

    next_minute("the jobs ran", lambda: long_runs(site) and jobs(site)["fail"]["result"] == "failed")
    ((pid, tree),) = long_runs(site)
    assert tree == "tree-1"
    assert (jobs(site)["long"]["result"], jobs(site)["tell"]["result"]) == ("running", "succeeded")
    assert (site.data / "told").read_text() == "a yes\n"
    failed = entry(site, "fail")
    assert (failed["kind"], failed["trigger"], failed["slot"]) == ("job", "schedule", "a")
    assert failed["error"] == "exit code 3\n  | first\n  | no such table"
    assert metric(site, 'job_runs_total{job="fail",result="failed"}') == 1
    assert metric(site, 'job_running{job="long"}') == 1
    assert cast(dict[str, object], site.status()["last_attempt"])["kind"] == "deploy"
    assert re.search(
        r"ERROR job fail of \w+ in slot a failed: exit code 3; its output", site.daemons[-1].log.read_text()
    )
    shown = site.run("status").stdout
    assert re.search(r"(?m)^jobs +long \(\* \* \* \* \*\) next in \d+ s; last [\w. ]+ running$", shown), shown
    assert re.search(r"(?m)^ +fail \(\* \* \* \* \*\) next in \d+ s; last [\w. ]+ failed$", shown), shown

    assert "job" not in exchange(site.api_port, "GET", "/history?jobs=false")[1].decode().replace('"job":""', "")
    assert exchange(site.api_port, "GET", "/history?jobs=maybe")[0] == 400

    for version in ("v2", "v3", "v4"):
        deploy(site, version, long=LONG)
    assert list(jobs(site)) == ["long"]
    assert site.post("/reload").status == 202
    wait_until("it was reloaded", lambda: site.status()["reloads"] == 1)
    kill_daemon(site)
    site.start()
    assert jobs(site)["long"]["result"] == "running"
    assert alive(pid)
    assert os.readlink(f"/proc/{pid}/cwd") == str((site.data / "tree-1").resolve())

    assert long_runs(site) == [(pid, "tree-1")]
    (site.data / "go").touch()
    wait_until("it has ended", lambda: entry(site, "long")["result"] == "interrupted")
    assert "outlived the daemon" in str(entry(site, "long")["error"])
    next_minute("the live version's runs", lambda: len(long_runs(site)) == 2)
    assert long_runs(site)[1][1] != "tree-1"
    assert site.serving() == "v4"


def test_a_reload_knows_how_a_run_ends_and_the_stop_of_the_daemon_ends_it(site: Site) -> None:
    site.start(app_config=FILE, start_command="false")
    deploy(
        site, "v1", long=LONG, slow="trap 'touch ../ended; exit 0' TERM; touch ../slow; while :; do sleep 0.05; done"
    )
    next_minute("the jobs run", lambda: long_runs(site) and (site.data / "slow").exists())

    site.daemons[-1].process.send_signal(signal.SIGHUP)
    wait_until("it was reloaded", lambda: site.status()["reloads"] == 1)
    assert {job["result"] for job in jobs(site).values()} == {"running"}
    (site.data / "go").touch()
    wait_until("it has ended", lambda: entry(site, "long")["result"] == "failed")
    assert entry(site, "long")["error"] == "exit code 4"

    assert site.daemons[-1].stop() == 0
    assert (site.data / "ended").exists()
    ended = next(row for row in site.history() if row["job"] == "slow")
    assert (ended["result"], ended["error"]) == ("interrupted", "the daemon was stopped")
