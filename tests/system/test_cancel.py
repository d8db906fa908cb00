"""`slot-machine cancel`: the deploy ends in whichever stage it is, and the live version serves on."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from demo.load import Load
from spec.waiting import wait_until
from spec.web import Reply

from tests.processes import alive
from tests.world import MODES, Site, goes_on, live, metric, slow_git

WAITS = "echo $$ >> {pids}; sleep 600 & echo $! >> {pids}; setsid sleep 600 & echo $! >> {pids}; wait"
SETUP = "test ! -e setup.sh || sh setup.sh"


def cancel_in(site: Site, stage: str, pids: Path | None = None, order: str = "/deploy") -> Reply:
    """Cancels a deploy of HEAD once it is in that stage and has written all of `pids`; returns its own reply."""
    with ThreadPoolExecutor() as pool:
        deploying = pool.submit(site.post, order, {"commit": "HEAD"})
        wait_until(f"stage {stage}", lambda: site.status()["running"] == stage or deploying.done())
        if pids:
            wait_until("all runs", lambda: pids.exists() and len(pids.read_text().split()) == 3)
        cancelled = site.post("/cancel")
        reply = deploying.result()
    assert (cancelled.status, cancelled.body["success"], cancelled.body["stage"]) == (200, True, stage), reply
    assert (reply.status, reply.body["success"], reply.body["stage"]) == (409, False, stage)
    assert "was cancelled" in str(reply.body["error"])
    last = site.history()[-1]
    assert (last["result"], last["stage"]) == ("cancelled", stage)
    attempt = site.status()["last_attempt"]
    assert isinstance(attempt, dict)
    assert attempt["result"] == "cancelled"
    if pids:
        assert not [pid for pid in map(int, pids.read_text().split()) if alive(pid)]
    return reply


@MODES
def test_setup_is_ended_with_all_that_it_started(site: Site, options: tuple[str, ...]) -> None:
    good = live(site, *options, setup_command=SETUP)
    app = site.get("/pid")
    pids = site.folder / "pids"
    site.commit("next", {"setup.sh": WAITS.format(pids=pids)})

    reply = cancel_in(site, "setup", pids)

    assert f"{good[:8]} in slot a stays live" in str(reply.body["error"])
    assert site.get("/pid") == app
    site.commit("last", {"setup.sh": "true"})
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.serving() == "last"


@MODES
def test_candidate_that_is_not_healthy_yet(site: Site, options: tuple[str, ...]) -> None:
    live(site, *options, health_timeout_ms=60_000)
    app = site.get("/pid")
    pids = site.folder / "pids"
    site.commit("deaf", deaf=True, child=["/bin/sh", "-c", WAITS.format(pids=pids)])

    cancel_in(site, "health", pids)

    assert site.get("/pid") == app
    site.commit("last")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.serving() == "last"


def test_checkout(site: Site) -> None:
    slow, asked = slow_git(site)
    live(site)
    site.commit("next")
    slow.touch()
    with ThreadPoolExecutor() as pool:
        deploying = pool.submit(site.post, "/deploy", {"commit": "HEAD"})
        wait_until("git is asked", asked.exists)
        assert site.post("/cancel").body["stage"] == "checkout"
        assert deploying.result().status == 409
    slow.unlink()

    assert site.serving() == "good"
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.serving() == "next"


def test_rollback_that_looks_at_its_slot(site: Site) -> None:
    slow, asked = slow_git(site)
    live(site)
    site.commit("next")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    slow.touch()
    client = subprocess.Popen([site.orchestrator.binary, "rollback"], cwd=site.repo, stderr=subprocess.PIPE, text=True)
    wait_until("git is asked", asked.exists)

    cancelled = site.run("cancel")

    assert (cancelled.returncode, cancelled.stdout.split()[:4]) == (0, ["cancelled", "the", "rollback", "of"])
    _, error = client.communicate(timeout=10)
    assert client.returncode == 1
    assert "error: the rollback was cancelled" in error
    assert site.history()[-1]["result"] == "cancelled"
    slow.unlink()
    assert site.post("/rollback").status == 200
    assert site.serving() == "good"


def test_version_that_made_way_is_started_again_and_no_request_fails(site: Site) -> None:
    live(site, strategy="replace", health_timeout_ms=60_000)
    first = int(site.get("/pid")[1])
    site.commit("deaf", deaf=True)
    load = Load(site.port)
    with load.running():
        goes_on(load)
        cancel_in(site, "health")
        goes_on(load)

    assert load.failures == []
    assert site.serving() == "good"
    assert not alive(first)


def test_version_that_makes_way_and_was_not_told_to_stop_goes_on(site: Site) -> None:
    live(site, strategy="replace", drain_timeout_ms=60_000)
    app = int(site.get("/pid")[1])
    site.commit("next")
    with ThreadPoolExecutor() as pool:
        held = pool.submit(site.get, "/held")
        wait_until("it is in flight", lambda: metric(site, 'requests_in_flight{slot="a"}') == 1)
        cancel_in(site, "drain")
        assert site.get("/pid") == (200, str(app))
        (site.data / "release").touch()

        assert held.result() == (200, "good")


def test_too_late_once_it_has_switched(site: Site) -> None:
    live(site, drain_timeout_ms=60_000)
    site.commit("next")
    with ThreadPoolExecutor() as pool:
        held = pool.submit(site.get, "/held")
        wait_until("it is in flight", lambda: metric(site, 'requests_in_flight{slot="a"}') == 1)
        deploying = pool.submit(site.post, "/deploy", {"commit": "HEAD"})
        wait_until("it drains", lambda: site.status()["running"] == "drain")
        refused = site.post("/cancel")
        (site.data / "release").touch()

        assert deploying.result().status == 200
        assert held.result()[0] == 200
    assert refused.status == 409
    assert "too late to cancel (deploy of" in str(refused.body["error"])
    assert site.serving() == "next"


def test_nothing_to_cancel(site: Site) -> None:
    live(site)

    refused = site.run("cancel")

    assert refused.returncode == 1
    assert "error: no deploy runs, so nothing was cancelled" in refused.stderr
    as_json = site.run("cancel", "--json")
    told = json.loads(as_json.stdout)
    assert (as_json.returncode, told["success"], told["error"]) == (
        1,
        False,
        "no deploy runs, so nothing was cancelled",
    )


def test_others_are_told_of_it_while_a_deploy_runs(site: Site) -> None:
    live(site, health_timeout_ms=60_000)
    site.commit("deaf", deaf=True)
    with ThreadPoolExecutor() as pool:
        deploying = pool.submit(site.run, "deploy")
        wait_until("it waits for health", lambda: site.status()["running"] == "health")
        others = site.post("/rollback"), site.post("/deploy", {"commit": "HEAD"})
        cancelled = site.run("cancel", "--json")
        assert (cancelled.returncode, json.loads(cancelled.stdout)["kind"]) == (0, "deploy")

        assert deploying.result().returncode == 1
        assert "error: health: the deploy was cancelled" in deploying.result().stderr
    assert [(other.status, "`slot-machine cancel`" in str(other.body["hint"])) for other in others] == [(409, True)] * 2


def test_setup_that_takes_too_long(site: Site) -> None:
    live(site, setup_command=SETUP, setup_timeout_ms=1500)
    pids = site.folder / "pids"
    site.commit("next", {"setup.sh": f"echo waiting; {WAITS.format(pids=pids)}"})

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert (reply.status, reply.body["stage"]) == (500, "setup")
    assert "setup_command did not end within 1.5 s" in str(reply.body["error"])
    assert "  | waiting" in str(reply.body["error"])
    assert "setup_timeout_ms" in str(reply.body["hint"])
    assert not [pid for pid in map(int, pids.read_text().split()) if alive(pid)]
    assert site.serving() == "good"
