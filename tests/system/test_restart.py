"""`slot-machine restart`: the live version afresh, beside itself, whatever happens meanwhile."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from demo.load import Load
from spec.waiting import wait_until

from tests.processes import alive, kill_daemon
from tests.world import MODES, Site, goes_on

VISITORS = (("GET", "/", False), ("POST", "/", False), ("GET", "/slow", False))
"""A connection a request, because `--no-proxy` closes those that are kept alive."""


def set_key(site: Site, value: str) -> None:
    (site.repo / ".env").write_text(f"KEY={value}\n")


def key(site: Site) -> str:
    return str(json.loads(site.get("/env")[1])["KEY"])


def pid(site: Site) -> int:
    return int(site.get("/pid")[1])


def behave(site: Site, **behaviour: object) -> None:
    """From its next start on, the app in the live tree behaves like this."""
    (site.data / "live" / "behaviour.json").write_text(json.dumps({"version": "good"} | behaviour))


def start(site: Site, *options: str, **config: str | int) -> None:
    """With `good` live, and `before` as the previous version."""
    set_key(site, "old")
    site.start(*options, env_file=".env", **config)
    site.commit("before")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    site.commit("good")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200


def versions(site: Site) -> list[object]:
    status = site.status()
    names = ("live_slot", "live_commit", "previous_slot", "previous_commit", "previous_ready", "last_deploy_time")
    return [status[name] for name in names]


@pytest.mark.parametrize(
    ("options", "strategy"), [((), "overlap"), ((), "replace"), (("--no-proxy",), "overlap")], ids=str
)
def test_no_request_fails_and_the_environment_is_read_anew(site: Site, options: tuple[str, ...], strategy: str) -> None:
    start(site, *options, strategy=strategy)
    before, load, pids = versions(site), Load(site.port, VISITORS), {pid(site)}
    with load.running():
        for value in ("one", "two"):
            goes_on(load)
            set_key(site, value)
            done = site.run("restart")
            assert (done.returncode, done.stdout) == (0, f"restarted {before[1]} in slot {before[0]}\n"), done.stderr
            assert key(site) == value
            pids.add(pid(site))
        goes_on(load)

    assert load.failures == []
    assert len(pids) == 3
    assert versions(site) == before
    assert [row["kind"] for row in site.history()] == ["deploy", "deploy", "restart", "restart"]
    already = site.run("deploy")
    assert already.stdout.startswith("already live: ")
    assert "`slot-machine restart`" in already.stderr


@MODES
def test_failed_or_cancelled_restart_leaves_the_old_one(site: Site, options: tuple[str, ...]) -> None:
    start(site, *options, health_timeout_ms=60_000)
    before, app = versions(site), pid(site)
    behave(site, exit=3)
    set_key(site, "new")
    failed = site.post("/restart")
    assert (failed.status, failed.body["stage"]) == (500, "health")
    behave(site, deaf=True)
    with ThreadPoolExecutor() as pool:
        restarting = pool.submit(site.post, "/restart")
        wait_until("it boots", lambda: site.status()["running"] == "health" or restarting.done())
        assert site.post("/cancel").body["kind"] == "restart"
        assert restarting.result().status == 409

    assert (pid(site), key(site)) == (app, "old")
    assert versions(site) == before
    assert [row["result"] for row in site.history()][-2:] == ["failed", "cancelled"]


@MODES
def test_daemon_that_is_killed_while_the_new_run_boots(site: Site, options: tuple[str, ...]) -> None:
    start(site, *options, health_timeout_ms=60_000)
    app = pid(site)
    behave(site, deaf=True)
    with ThreadPoolExecutor() as pool:
        restarting = pool.submit(site.post, "/restart")
        wait_until("it boots", lambda: site.status()["running"] == "health")
        kill_daemon(site)
        assert restarting.exception()
    behave(site)
    site.start(*options)

    assert pid(site) == app
    assert site.history()[-1]["result"] == "interrupted"
    assert site.post("/restart").status == 200
    assert not alive(app)


@MODES
def test_daemon_that_is_killed_while_the_old_run_drains(site: Site, options: tuple[str, ...]) -> None:
    start(site, *options, drain_timeout_ms=20_000)
    app = pid(site)
    with ThreadPoolExecutor() as pool:
        held = pool.submit(site.get, "/held")
        wait_until("a request is in flight", (site.data / "held").exists)
        restarting = pool.submit(site.post, "/restart")
        wait_until("it drains", lambda: site.status()["running"] == "drain")
        renewed = pid(site)
        kill_daemon(site)
        assert restarting.exception()
        (site.data / "release").touch()
        assert held.result() == (200, "good")
        site.start(*options)

    assert pid(site) == renewed != app
    wait_until("the old one has ended", lambda: not alive(app))


def test_changed_configuration_is_reloaded_first(site: Site) -> None:
    start(site)
    app = pid(site)
    (site.repo / "other.env").write_text("KEY=other\n")
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"env_file": "other.env"}))
    done = site.run("restart")

    assert done.returncode == 0, done.stderr
    assert key(site) == "other"
    assert site.status()["reloads"] == 1
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"env_file": "other.env", "port": 1}))
    warned = site.post("/restart")
    assert warned.status == 200
    assert "port in" in str(warned.body["warnings"])
    (site.repo / "slot-machine.json").write_text("{")
    assert site.post("/restart").status == 422
    assert pid(site) != app


def test_nothing_live_is_refused(idle_site: Site) -> None:
    refused = idle_site.post("/restart")
    assert (refused.status, refused.body["error"]) == (409, "nothing is live, so there is nothing to restart")
    done = idle_site.run("restart")
    assert (done.returncode, done.stdout) == (1, "")
