"""The daemon's life: restarts, crashes of the app and of its own parts, leftovers, a second daemon."""

import http.client
import json
import signal
import sqlite3
import subprocess
import threading
from pathlib import Path
from typing import cast

import pytest
from spec.ports import is_free
from spec.waiting import wait_until
from spec.web import exchange

from tests.processes import alive, children_of, kill
from tests.world import MODES, Site, live, metric, serves

KILLED = "exit code 137, killed by SIGKILL"


@MODES
def test_crashed_app_is_started_again(site: Site, options: tuple[str, ...]) -> None:
    live(site, *options)
    pid = int(site.get("/pid")[1])
    kill(pid)

    wait_until("the crash is noticed", lambda: site.status()["healthy"] is False)
    if not options:
        wait_until("the proxy knows that nothing is live", lambda: site.get()[0] == 503)
    assert "killed by SIGKILL" in str(site.status()["last_exit"])
    wait_until("the app is back", lambda: serves(site))
    assert site.serving() == "good"
    assert site.status()["restarts"] == 1

    crash = json.loads(site.run("show", "2", "--json").stdout)
    assert (crash["kind"], crash["result"], crash["error"]) == ("crash", "succeeded", KILLED)
    assert crash["away_s"] > 0.9, "the delay before the restart"
    assert site.run("reload").returncode == 0
    (count,) = cast(list[dict[str, object]], site.status()["restart_counts"])
    assert (count["process"], count["cause"], count["number"]) == ("web", "crash", 1)
    (end,) = cast(list[dict[str, object]], site.status()["last_exits"])
    assert (end["how"], end["slot"], end["commit"]) == (KILLED, "a", site.status()["live_commit"])


def test_deploy_mends_an_app_that_crashes_at_every_start(site: Site) -> None:
    live(site)
    (site.data / "slot-a" / "crash-at-boot").touch()
    kill(int(site.get("/pid")[1]))
    wait_until("a restart failed", lambda: "exit code 9" in str(site.status()["last_exit"]))
    site.commit("mended")

    assert site.post("/deploy", {"commit": "HEAD"}).status == 200

    assert site.serving() == "mended"
    assert site.status()["restarts"] == 0


@MODES
def test_restarted_daemon_brings_the_live_version_back(site: Site, options: tuple[str, ...]) -> None:
    setups = site.folder / "setups"
    good = live(site, *options, setup_command=f"echo x >> {setups}")
    assert site.daemons[-1].stop() == 0
    assert is_free(site.port)

    site.start(*options)

    assert site.serving() == "good"
    status = site.status()
    assert (status["live_slot"], status["live_commit"], status["healthy"]) == ("a", good, True)
    assert setups.read_text() == "x\n"


def test_live_version_that_fails_at_start_up_is_tried_again(site: Site) -> None:
    good = live(site)
    site.daemons[-1].stop()
    flag = site.data / "slot-a" / "crash-at-boot"
    flag.touch()
    site.start()
    assert (site.status()["live_commit"], site.status()["healthy"]) == (good, False)
    assert site.get()[0] == 503

    flag.unlink()

    wait_until("the app is back", lambda: serves(site))
    assert site.serving() == "good"


def test_deploy_of_a_killed_daemon_stands_in_the_history_as_interrupted(site: Site) -> None:
    good = live(site, health_timeout_ms=60_000)
    deaf = site.commit("deaf", deaf=True)
    client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
    wait_until("the deploy waits for health", lambda: site.status()["running"] == "health")
    daemon = site.daemons[-1].process
    daemon.kill()
    daemon.wait()
    assert client.wait(10) == 1

    site.start()

    _, interrupted = (row for row in site.history() if row["kind"] == "deploy")
    assert {name: interrupted[name] for name in ("result", "commit_hash", "slot", "stage")} == {
        "result": "interrupted",
        "commit_hash": deaf,
        "slot": "b",
        "stage": "health",
    }
    assert site.status()["live_commit"] == good
    assert site.serving() == "good"


def test_setup_of_a_killed_daemon_does_not_run_on(site: Site) -> None:
    pid_file = site.folder / "pid"
    site.start(setup_command=f"echo $$ > {pid_file}; sleep 600; true")
    site.commit("v1")
    client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
    wait_until("the setup runs", lambda: pid_file.exists() and pid_file.read_text().strip())
    daemon = site.daemons[-1].process
    daemon.kill()
    daemon.wait()
    assert client.wait(10) == 1

    site.start()

    assert not alive(int(pid_file.read_text()))


def test_data_plane_that_is_killed_loses_only_what_was_in_flight(site: Site) -> None:
    """The clients that connect before the next one is there wait on the same listening sockets."""
    live(site)
    (pid,) = children_of(site.daemons[-1].process.pid, "slot_machine.proxy")
    errors: list[str] = []

    def ask_slowly() -> None:
        try:
            exchange(site.port, "GET", "/slow")
        except (OSError, http.client.HTTPException) as error:
            errors.append(repr(error))

    asking = [threading.Thread(target=ask_slowly) for _ in range(3)]
    for thread in asking:
        thread.start()
    wait_until("they are in flight", lambda: metric(site, 'requests_in_flight{slot="a"}') == 3)
    kill(pid)
    for _ in range(20):
        assert site.serving() == "good"
    for thread in asking:
        thread.join()

    assert len(errors) == 3
    assert metric(site, "requests_lost_total") == 3
    site.commit("next")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.serving() == "next"


def test_log_is_rotated_under_a_running_app(site: Site) -> None:
    site.start(log_max_mb=1, log_keep=9)
    site.commit("talks", lines=40_000)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    pid = site.get("/pid")
    log = site.data / "slot-a.log"

    wait_until("it is rotated", lambda: log.stat().st_blocks * 512 < 1_100_000 and not Path(f"{log}.0").exists())

    rotated = [Path(f"{log}.{number}") for number in range(9, 0, -1)]
    lines = b"".join(file.read_bytes().lstrip(b"\0") for file in [*rotated, log] if file.exists()).splitlines()
    assert lines.pop(0) == b"booting talks"
    assert [int(line.split()[0]) for line in lines] == list(range(40_000))
    assert site.get("/pid") == pid


def test_second_daemon_is_refused_and_names_the_first(site: Site) -> None:
    site.start()
    second = site.run("start", "--port", str(site.port + 1))

    assert second.returncode != 0
    assert str(site.daemons[0].process.pid) in second.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_everything_with_exit_code_0(site: Site, signum: signal.Signals) -> None:
    live(site)
    app = int(site.get("/pid")[1])
    daemon = site.daemons[-1].process
    daemon.send_signal(signum)

    assert daemon.wait(20) == 0
    assert not alive(app)
    assert is_free(site.port)
    assert not (site.data / "proxy-0.sock").exists()


def test_internal_port_of_its_own(site: Site) -> None:
    internal = site.port + 1
    live(site, internal_port=internal)

    assert exchange(internal, "GET", "/healthz") == (200, b"health")
    assert site.serving() == "good"


def test_app_that_listens_on_ipv6_only(site: Site) -> None:
    site.start()
    site.commit("six", host="::1")

    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.serving() == "six"


def test_newer_database_is_refused(site: Site) -> None:
    live(site)
    site.daemons[-1].stop()
    db = sqlite3.connect(site.data / "state.db")
    db.execute("PRAGMA user_version = 99")
    db.close()

    refused = site.run("start")

    assert refused.returncode != 0
    assert "newer" in refused.stderr
