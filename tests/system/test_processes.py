"""Processes beside the web process, as a whole daemon keeps, replaces and ends them."""

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from spec.waiting import wait_until
from spec.web import Reply

from tests.processes import alive, kill_daemon
from tests.world import MODES, Site, metric

SIDE = Path(__file__).parents[1] / "clients" / "side.py"
HELD = "held"
JOB_S = 2


@pytest.fixture
def own_file(site: Site) -> Iterator[Site]:
    """Each commit has its own configuration. At the end, nothing is held any more."""
    site.config["app_config"] = "app.json"
    yield site
    (site.folder / "finish").touch()


def side(site: Site, *arguments: object) -> str:
    return shlex.join([sys.executable, "-IS", str(SIDE), str(site.folder), *map(str, arguments)])


def deploy(site: Site, version: str, processes: object, **fields: object) -> Reply:
    config = {"start_command": site.config["start_command"], "health_timeout_ms": 5000, "processes": processes}
    site.commit(version, {"app.json": json.dumps(config | fields)})
    return site.post("/deploy", {"commit": "HEAD"})


def go_live(site: Site, version: str, processes: object, **fields: object) -> Reply:
    reply = deploy(site, version, processes, **fields)
    assert reply.status == 200, reply
    return reply


def notes(site: Site, what: str = "") -> list[list[str]]:
    """Each with its event, name, index, commit and pid."""
    path = site.folder / "notes"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split() for line in lines if line.startswith(what)]


def pids(site: Site) -> list[int]:
    """Of all that ever began and still run."""
    return [pid for pid in (int(note[-1]) for note in notes(site, "began")) if alive(pid)]


def runs(site: Site, number: int) -> bool:
    return len(pids(site)) == number


def noted(site: Site, what: str, number: int = 1) -> None:
    wait_until(f"{number} noted {what}", lambda: len(notes(site, what)) >= number)


def listed(site: Site, field: str) -> list[dict[str, object]]:
    found = site.status()[field]
    assert isinstance(found, list)
    return found


def state(site: Site, number: int = 0) -> object:
    return listed(site, "processes")[number]["state"]


def ends(site: Site) -> None:
    wait_until("nothing retires", lambda: not listed(site, "retiring"))


def finish(site: Site) -> None:
    """Those that are held may end."""
    (site.folder / "finish").touch()
    ends(site)


@MODES
def test_process_begins_after_the_switch_and_its_predecessor_finishes_its_work(
    own_file: Site, options: tuple[str, ...]
) -> None:
    site = own_file
    site.start(*options)
    go_live(site, "v1", {"worker": f"cd . && {side(site, HELD)}"})
    noted(site, "began")
    (first,) = pids(site)
    assert state(site) == "running"
    assert "this is worker" in (site.data / "slot-a.worker.log").read_text()

    reply = go_live(site, "v2", {"worker": side(site, HELD)})
    noted(site, "began", 2)
    noted(site, "SIGTERM")
    (retiring,) = listed(site, "retiring")
    assert retiring["state"] == "stopping"
    assert alive(first), "the deploy waited for the old worker"
    assert notes(site, "SIGTERM") == [["SIGTERM", "worker", "1", notes(site)[0][3], str(first)]]
    finish(site)
    assert len(notes(site, "ended")) == 1
    assert reply.body["warnings"] == []
    assert pids(site) == [int(notes(site, "began")[1][-1])]
    assert "this is worker" in (site.data / "slot-b.worker.log").read_text()


def test_version_that_is_never_healthy_starts_no_process(own_file: Site) -> None:
    site = own_file
    site.start()
    go_live(site, "v1", {"worker": side(site)})
    noted(site, "began")
    command = "sleep 600"
    assert deploy(site, "bad", {"worker": side(site)}, start_command=command, health_timeout_ms=300).status == 500
    assert len(notes(site)) == 1
    assert pids(site)


@pytest.mark.parametrize(("how", "options"), [("kill", ()), ("reload", ()), ("kill", ("--no-proxy",))])
def test_next_daemon_goes_on_with_what_runs_and_what_retires(
    own_file: Site, how: str, options: tuple[str, ...]
) -> None:
    site = own_file
    site.start(*options)
    go_live(site, "v1", {"worker": side(site, HELD)})
    noted(site, "began")
    go_live(site, "v2", {"worker": side(site, HELD)})
    noted(site, "SIGTERM")
    noted(site, "began", 2)
    before = listed(site, "processes")[0]["pid"]
    if how == "kill":
        kill_daemon(site)
        site.start(*options)
    else:
        assert site.post("/reload").status == 202
        wait_until("the daemon was reloaded", lambda: site.status()["reloads"] == 1)
    (retiring,) = listed(site, "retiring")
    assert retiring["commit"] != site.status()["live_commit"]
    finish(site)
    assert len(notes(site, "SIGTERM")) == 1
    assert len(notes(site, "ended")) == 1
    assert pids(site) == [int(notes(site, "began")[1][-1])]
    assert listed(site, "processes")[0]["pid"] == before


def test_daemon_that_ends_gives_processes_their_time(own_file: Site) -> None:
    site = own_file
    daemon = site.start()
    go_live(site, "v1", {"worker": side(site, JOB_S)}, drain_timeout_ms=500)
    noted(site, "began")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    assert len(notes(site, "ended")) == 1
    assert pids(site) == []


def test_crash_loop_is_shown_with_the_reason(own_file: Site) -> None:
    site = own_file
    site.start()
    go_live(site, "v1", {"beat": side(site, 0, 3)})
    wait_until("it crashes in a loop", lambda: state(site) == "crash loop", limit_s=20)
    (shown,) = listed(site, "processes")
    assert shown["last_exit"] == "exit code 3"
    assert shown["last_lines"] == ["this is beat", "Pidfile (beat.pid) already exists."]
    assert "--pidfile=" in site.daemons[0].log.read_text()
    assert site.status()["healthy"]


def test_process_that_needs_sigkill_is_warned_of(own_file: Site) -> None:
    site = own_file
    site.start()
    go_live(site, "v1", {"worker": {"command": side(site, 600), "stop_timeout_ms": 500}})
    noted(site, "began")
    go_live(site, "v2", {})
    ends(site)
    assert pids(site) == []
    wait_until("the history has it", lambda: "jobs may run again" in str(site.history()[-1]["warnings"]))


def test_processes_that_are_renamed_removed_or_fewer_end_at_the_switch(own_file: Site) -> None:
    site = own_file
    site.start()
    go_live(site, "v1", {"worker": {"command": side(site), "count": 3}, "mail": side(site)})
    noted(site, "began", 4)
    one: Mapping[str, object] = {"worker": {"command": side(site), "count": 1}}
    for number, processes in enumerate([one, {"renamed": side(site)}, {}, {"worker": side(site)}], 2):
        go_live(site, f"v{number}", processes)
        wait_until("only the new ones run", partial(runs, site, len(processes)))
        ends(site)
    assert site.post("/rollback").status == 200
    wait_until("none runs", lambda: pids(site) == [])


def test_quiet_signal_and_stop_signal(own_file: Site) -> None:
    site = own_file
    site.start()
    worker = {"command": side(site), "quiet_signal": "TSTP", "stop_signal": "INT"}
    go_live(site, "v1", {"worker": worker}, drain_timeout_ms=1000)
    noted(site, "began")
    go_live(site, "v2", {})
    noted(site, "ended")
    assert [note[0] for note in notes(site)] == ["began", "SIGTSTP", "SIGINT", "ended"]


def test_singleton_begins_when_the_old_one_has_ended(own_file: Site) -> None:
    site = own_file
    site.start()
    clock = {"command": side(site, 1), "singleton": True}
    go_live(site, "v1", {"clock": clock})
    noted(site, "began")
    go_live(site, "v2", {"clock": clock})
    noted(site, "began", 2)
    assert [note[0] for note in notes(site)] == ["began", "SIGTERM", "ended", "began"]


def test_under_replace_processes_end_before_the_new_version_starts(own_file: Site) -> None:
    site = own_file
    site.start()
    go_live(site, "v1", {"worker": side(site, 1)})
    noted(site, "began")
    noting = f"echo web starts >> {site.folder}/notes; exec {site.config['start_command']}"
    go_live(site, "v2", {"worker": side(site)}, strategy="replace", start_command=noting)
    noted(site, "began", 2)
    assert [note[0] for note in notes(site)] == ["began", "SIGTERM", "ended", "web", "began"]


def test_processes_have_the_environment_of_their_version(own_file: Site) -> None:
    site = own_file
    site.start()
    command = f"env > {site.folder}/environment-$PROCESS_INDEX; pwd > {site.folder}/folder; exec sleep 600"
    go_live(site, "v1", {"worker": {"command": command, "count": 2}})
    wait_until("both began", lambda: [entry["state"] for entry in listed(site, "processes")] == ["running"] * 2)
    wait_until("both wrote", lambda: all((site.folder / f"environment-{index}").exists() for index in (1, 2)))
    wait_until("the folder is known", lambda: (site.folder / "folder").read_text().endswith("\n"))
    environment = (site.folder / "environment-2").read_text().splitlines()
    assert {"PROCESS=worker", "PROCESS_INDEX=2", "SLOT_MACHINE_SLOT=a"} <= set(environment)
    assert Path((site.folder / "folder").read_text().strip()) == Path(os.path.realpath(site.data / "slot-a"))
    assert {path.name for path in site.data.glob("slot-a.worker.*.log")} == {
        "slot-a.worker.1.log",
        "slot-a.worker.2.log",
    }
    assert not (site.data / "slot-a.worker.log").exists()


def test_status_and_metrics_tell_of_each_process(own_file: Site) -> None:
    site = own_file
    site.start()
    go_live(site, "v1", {"worker": {"command": side(site, HELD), "count": 2}})
    noted(site, "began", 2)
    shown = listed(site, "processes")
    assert [(entry["name"], entry["index"], entry["state"]) for entry in shown] == [
        ("worker", 1, "running"),
        ("worker", 2, "running"),
    ]
    assert all(isinstance(entry["memory_mb"], float) and entry["memory_mb"] > 1 for entry in shown)
    go_live(site, "v2", {"worker": side(site), "crashing": "exit 3"})
    wait_until("one has crashed", lambda: metric(site, 'restarts_total{name="crashing",process="side"}'))

    words = " ".join(site.run("status").stdout.split())
    assert re.search(r" processes worker 1 running, pid \d+, [\d.]+ MB ", words)
    assert re.search(r" crashing 1 (backing off|crash loop), started again (once|\d times): exit code 3 ", words)
    pattern = r"worker 1 of [0-9a-f]{8} in slot a stopping for [\d.]+ s, pid \d+, [\d.]+ MB"
    assert re.search(f" retiring {pattern} ", words)
    assert metric(site, 'side_runs{name="worker"}') == 1
    assert metric(site, 'side_runs{name="crashing"}') == 0
    assert metric(site, "side_runs_retiring") == 2
    assert metric(site, 'memory_bytes{name="worker",process="side"}') > 1e6
    finish(site)


def test_deploy_waits_for_the_process_that_retires_in_its_tree(own_file: Site) -> None:
    site = own_file
    site.start()
    go_live(site, "v1", {"worker": side(site, HELD)})
    noted(site, "began")
    go_live(site, "v2", {})
    go_live(site, "v3", {})
    with ThreadPoolExecutor() as threads:
        fourth = threads.submit(deploy, site, "v4", {})
        wait_until("the fourth deploy has begun", lambda: site.status()["running"] == "checkout")
        assert (site.data / "tree-1" / "behaviour.json").read_text() == '{"version": "v1"}'
        assert pids(site)
        finish(site)
        assert fourth.result().status == 200
    assert (site.data / "tree-1" / "behaviour.json").read_text() == '{"version": "v4"}'
    assert len(notes(site, "ended")) == 1
