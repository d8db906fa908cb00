"""A daemon that is killed: the data plane and the app serve on, and the next daemon takes them over."""

import os
import random
import signal
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from demo.load import Load
from spec.ports import is_free
from spec.waiting import wait_until

from slot_machine.host.network import sockdiag
from tests.database import TO_SCHEMA_5
from tests.processes import alive, kill, kill_daemon, workers
from tests.world import MODES, Site, goes_on, live, metric, serves

ROUNDS = 8


def test_kill_of_the_daemon_fails_no_request_and_the_next_takes_over(site: Site) -> None:
    good = live(site)
    app = site.get("/pid")
    (worker,) = workers(site)
    load = Load(site.port)
    with load.running():
        goes_on(load)
        kill_daemon(site)
        goes_on(load)
        site.start()
        assert site.status()["live_commit"] == good
        assert (site.get("/pid"), alive(worker)) == (app, True)
        site.commit("next")
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
        assert site.serving() == "next"
        assert site.post("/rollback").status == 200
        assert site.serving() == "good"
        goes_on(load)

    assert load.failures == []
    assert [row["kind"] for row in site.history()] == ["deploy", "deploy", "rollback"]


def test_processes_of_an_earlier_boot_are_nobodys(site: Site) -> None:
    """As after a reboot: nothing runs, and the numbers of what ran belong to others."""
    live(site)
    app, (worker,) = int(site.get("/pid")[1]), workers(site)
    kill_daemon(site)
    kill(worker)
    kill(app)
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        started = Path(f"/proc/{bystander.pid}/stat").read_text().split()[21]
        with closing(sqlite3.connect(site.data / "state.db", isolation_level=None)) as db:
            db.execute("UPDATE processes SET pid = ?, start_ticks = ?, boot_id = 'earlier'", (bystander.pid, started))

        site.start()

        assert site.serving() == "good"
        assert bystander.poll() is None
        assert site.daemons[-1].stop() == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


SCHEMA_4 = """
ALTER TABLE attempts RENAME COLUMN trigger TO origin;
ALTER TABLE processes DROP COLUMN release_id;
ALTER TABLE processes DROP COLUMN run;
PRAGMA user_version = 4;
"""


@MODES
def test_app_of_the_release_before_runs_is_taken_over(site: Site, options: tuple[str, ...]) -> None:
    live(site, *options)
    app, shell = int(site.get("/pid")[1]), site.status()["pid"]
    kill_daemon(site)
    (site.data / "state.db.seal").unlink()
    with closing(sqlite3.connect(site.data / "state.db")) as db:
        db.executescript(TO_SCHEMA_5 + SCHEMA_4)

    site.start(*options)

    assert (int(site.get("/pid")[1]), site.status()["pid"]) == (app, shell)
    assert [row["trigger"] for row in site.history()] == ["api"]
    kill(app)
    wait_until("it is started again", lambda: site.status()["pid"] not in (0, shell))
    assert site.serving() == "good"
    assert site.daemons[-1].stop() == 0


def test_start_with_the_proxy_after_a_killed_daemon_without(site: Site) -> None:
    live(site, "--no-proxy")
    app = int(site.get("/pid")[1])
    kill_daemon(site)

    site.start()

    assert not alive(app)
    assert site.serving() == "good"
    assert site.status()["traffic"] == "proxy"


@MODES
def test_app_that_was_taken_over_is_watched_and_stopped(site: Site, options: tuple[str, ...]) -> None:
    live(site, *options)
    app = int(site.get("/pid")[1])
    kill_daemon(site)
    site.start(*options)
    assert int(site.get("/pid")[1]) == app

    kill(app)
    wait_until("the crash is noticed", lambda: site.status()["healthy"] is False)
    wait_until("the app is back", lambda: serves(site))
    app = int(site.get("/pid")[1])
    kill_daemon(site)
    site.start(*options)

    assert site.daemons[-1].stop() == 0
    assert not alive(app)
    assert is_free(site.port)
    assert not list(site.data.glob("proxy-*.sock"))


def test_symlinks_that_a_killed_daemon_did_not_come_to_are_put_right(site: Site) -> None:
    live(site)
    kill_daemon(site)
    link = site.data / "live"
    link.unlink()
    link.symlink_to("slot-b")

    site.start()

    assert link.resolve() == (site.data / "slot-a").resolve() == site.data / "tree-1"


def test_listeners_do_not_block_the_workers_that_share_them_with_a_new_daemon(site: Site) -> None:
    """A worker that another one was faster than would hang in accept()."""
    live(site, proxy_workers=2)
    pids = workers(site)
    kill_daemon(site)

    site.start()

    assert [blocking_listeners(pid, site.port) for pid in pids] == [[], []]


def blocking_listeners(pid: int, port: int) -> list[str]:
    sockets = {f"socket:[{found.inode}]" for found in sockdiag.of_port(port, (sockdiag.LISTEN,))}
    fds = [fd.name for fd in Path(f"/proc/{pid}/fd").iterdir() if os.readlink(fd) in sockets]
    assert fds
    flags = {fd: Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split()[3] for fd in fds}
    return [fd for fd, octal in flags.items() if not int(octal, 8) & os.O_NONBLOCK]


def test_app_alone_is_taken_over(site: Site) -> None:
    live(site)
    app = site.get("/pid")
    (worker,) = workers(site)
    kill_daemon(site)
    kill(worker)

    site.start()

    assert site.get("/pid") == app


def test_data_plane_alone_is_taken_over(site: Site) -> None:
    live(site)
    app = int(site.get("/pid")[1])
    (worker,) = workers(site)
    kill_daemon(site)
    kill(app)

    site.start()

    assert site.serving() == "good"
    assert alive(worker)


def test_held_requests_wait_for_a_daemon_that_would_not_have_held_them(site: Site) -> None:
    live(site, strategy="replace", health_timeout_ms=20_000)
    site.commit("deaf", deaf=True)
    with ThreadPoolExecutor() as pool:
        client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
        wait_until("the old version has made way", lambda: site.status()["running"] == "health")
        held = pool.submit(site.get)
        wait_until("a request is held", lambda: metric(site, 'requests_in_flight{slot=""}') == 1)
        kill_daemon(site)
        client.wait()
        site.start(strategy="overlap")

    assert held.result() == (200, "good")


def test_data_plane_is_known_without_being_written_down(site: Site) -> None:
    live(site)
    (worker,) = workers(site)
    kill_daemon(site)
    with sqlite3.connect(site.data / "state.db") as db:
        assert db.execute("SELECT * FROM processes WHERE pid = ?", (worker,)).fetchall() == []
    db.close()

    site.start()

    assert alive(worker)
    assert site.serving() == "good"


def test_data_plane_with_other_settings_is_replaced(site: Site) -> None:
    live(site)
    app = site.get("/pid")
    (worker,) = workers(site)
    kill_daemon(site)

    site.start(proxy_workers=2, response_timeout_ms=30_000)

    assert site.get("/pid") == app
    assert len(workers(site)) == 2
    wait_until("the old one has retired", lambda: not alive(worker))


def test_other_traffic_mode_starts_the_app_anew(site: Site) -> None:
    live(site)
    app = int(site.get("/pid")[1])
    (worker,) = workers(site)
    kill_daemon(site)

    site.start("--no-proxy")

    assert site.serving() == "good"
    assert not alive(app)
    assert not alive(worker)


@pytest.mark.parametrize("strategy", ["overlap", "replace"])
@pytest.mark.parametrize("stage", ["checkout", "setup", "release", "health", "drain"])
def test_killed_in_a_stage(site: Site, stage: str, strategy: str) -> None:
    """With `replace`, requests are held from the setup's end to the switch, over the next start as well."""
    site.git("config", "filter.slow.smudge", "sleep 1; cat")
    files = {
        "checkout": {".gitattributes": "data filter=slow\n", "data": "x\n"},
        "setup": {"setup.sh": "sleep 600"},
        "release": {"release.sh": f"echo ran >> {site.folder}/released; sleep 600"},
    }.get(stage, {})
    behaviour = {"deaf": True} if stage == "health" else {}
    good = live(
        site,
        setup_command="test ! -e setup.sh || sh setup.sh",
        release_command="test ! -e release.sh || sh release.sh",
        strategy=strategy,
        drain_timeout_ms=20_000,
    )
    new = site.commit("new", files, **behaviour)
    load = Load(site.port)
    with load.running(), ThreadPoolExecutor() as pool:
        goes_on(load)
        if stage == "drain":
            held = pool.submit(site.get, "/held")
            wait_until("a request is held", lambda: metric(site, 'requests_in_flight{slot="a"}') > 0)
        client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
        wait_until(f"the deploy is in {stage}", lambda: site.status()["running"] == stage)
        kill_daemon(site)
        (site.data / "release").touch()
        assert stage != "drain" or held.result() == (200, "good")
        assert client.wait(10) == 1
        site.start()
        serving = site.serving()
        assert site.status()["live_commit"] == {"good": good, "new": new}[serving]
        attempt = [row for row in site.history() if row["kind"] == "deploy"][-1]
        assert attempt["result"] == "interrupted"
        last = site.commit("last", {"setup.sh": "", "release.sh": ""})
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
        assert (site.serving(), site.status()["live_commit"]) == ("last", last)
        assert stage != "release" or (site.folder / "released").read_text() == "ran\n"

    assert load.failures == []


def test_killed_at_random_under_load(site: Site) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    live(site)
    site.commit("v2")
    load = Load(site.port)
    with load.running():
        for _ in range(ROUNDS):
            client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.05, 0.6))  # Not for a condition: anywhere is where it is to be killed.
            if rng.random() < 0.8:
                kill_daemon(site)
            else:
                site.daemons[-1].process.send_signal(signal.SIGHUP)
            client.wait(20)
            if site.daemons[-1].process.returncode is not None:
                site.start()
            site.serving()
        goes_on(load)
        site.commit("last")
        wait_until("a deploy works", lambda: site.post("/deploy", {"commit": "HEAD"}).status == 200)
        assert site.serving() == "last"

    assert load.failures == []
    assert "running" not in [row["result"] for row in site.history()]
