"""`slot-machine maintenance`: it outlives deploys, restarts, reloads and kills."""

import http.client
import json
import os
import signal

from spec.waiting import wait_until

from tests.processes import kill_daemon, workers
from tests.world import Site, live


def answered(site: Site, path: str = "/") -> tuple[int, str]:
    try:
        return site.get(path)
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)


def test_it_outlives_everything_but_its_end(site: Site) -> None:
    page = site.repo / "down.html"
    live(site, maintenance_page="down.html", proxy_workers=2)
    refused = site.run("maintenance", "on")
    assert (refused.returncode, "cannot use maintenance_page" in refused.stderr) == (1, True)
    assert site.serving() == "good"
    page.write_text("<h1>Soon</h1>")

    done = site.run("maintenance", "on", "--message", "at ten", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["maintenance"]["message"] == "at ten"
    down = (503, "<h1>Soon</h1>")
    assert answered(site) == down
    assert answered(site, "/healthz")[0] == 200
    status = site.status()["maintenance"]
    assert isinstance(status, dict)
    assert (status["message"], status["page"]) == ("at ten", True)
    site.commit("v2")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.post("/restart").status == 200
    assert (answered(site), site.status()["healthy"]) == (down, True)
    before = workers(site)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until("other workers answer", lambda: len(set(workers(site)) - set(before)) == 2 and answered(site) == down)
    assert site.run("reload").returncode == 0
    assert answered(site) == down
    kill_daemon(site)
    assert answered(site) == down
    site.start()
    assert answered(site) == down
    site.daemons[-1].stop()
    site.start()
    assert answered(site) == down
    assert answered(site, "/healthz")[0] == 200

    assert site.run("maintenance", "off").returncode == 0

    assert site.serving() == "v2"
    assert site.status()["maintenance"] == ""


def test_with_no_proxy_it_is_refused_with_the_reason(site: Site) -> None:
    site.start("--no-proxy")

    refused = site.run("maintenance", "on")
    as_json = site.run("maintenance", "on", "--json")

    assert (refused.returncode, as_json.returncode) == (1, 1)
    assert "with --no-proxy the app itself answers on its port" in refused.stderr
    assert "with --no-proxy the app itself answers on its port" in json.loads(as_json.stdout)["error"]
    assert site.status()["maintenance"] == ""
