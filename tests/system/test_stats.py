"""`top` and `stats` of a whole daemon: counted over switches, reloads and restarts, and told by the commands."""

import json

import pytest
from spec.waiting import wait_until
from spec.web import exchange

from tests.processes import kill_daemon
from tests.world import Site, live


def counted(site: Site) -> dict[str, int]:
    done = site.run("stats", "--since", "1h", "--json")
    assert done.returncode == 0, done.stderr
    reply = json.loads(done.stdout)
    assert sum(quarter["requests"] for quarter in reply["quarters"]) == reply["total"]["requests"]
    return {path["path"]: path["requests"] for path in reply["slowest"]}


def test_reload_and_end_of_the_daemon_lose_no_request_of_the_record(site: Site) -> None:
    live(site)
    for number in range(3):
        site.get(f"/users/{number}?page=2")
    site.post("/deploy", {"commit": site.commit("next")})
    site.get("/users/4")

    assert site.run("reload").returncode == 0
    wait_until("it is reloaded", lambda: site.status()["reloads"] == 1)
    assert counted(site) == {"/users/:id": 4}

    site.get("/users/5")
    site.daemons[-1].stop()
    site.start()
    assert counted(site) == {"/users/:id": 5}
    text = site.run("stats", "--since", "1h").stdout
    assert "slot a" in text
    assert "slot b" in text
    assert "\x1b" not in text
    assert any(line.endswith(" switches") or " deploy " in line for line in text.splitlines())


@pytest.mark.parametrize("options", [("--json",), ()])
def test_top_in_a_pipe_tells_of_one_interval(site: Site, options: tuple[str, ...]) -> None:
    live(site)
    done = site.run("top", "--interval", "0.3", *options)

    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    if options:
        reply = json.loads(done.stdout)
        assert {"web", "daemon", "proxy 0"} == {process["name"] for process in reply["processes"]}
        assert all(process["memory_mb"] > 1 for process in reply["processes"])
        assert reply["live_slot"] == "a"
    else:
        assert "in flight" in done.stdout


def test_without_proxy_nobody_counts_and_that_is_said(site: Site) -> None:
    live(site, "--no-proxy")

    assert "nobody counts them with --no-proxy" in site.run("stats").stdout
    assert "not counted with --no-proxy" in site.run("top", "--interval", "0.2").stdout


def test_wrong_time_is_wrong_usage_and_over_the_api_a_bad_request(site: Site) -> None:
    live(site)

    assert site.run("stats", "--since", "soon").returncode == 2
    assert exchange(site.api_port, "GET", "/stats?since=soon")[0] == 400


def test_killed_daemon_loses_nothing_that_its_worker_counted(site: Site) -> None:
    live(site)
    site.get("/before")
    kill_daemon(site)
    site.get("/meanwhile")
    site.start()
    site.daemons[-1].stop()
    site.start()

    assert counted(site) == {"/before": 1, "/meanwhile": 1}
