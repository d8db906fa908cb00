"""`deploy --hold`: a version that runs and that no visitor gets, until it is promoted or aborted."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from demo.load import Load
from spec.waiting import wait_until

from tests.processes import alive, kill, kill_daemon
from tests.world import Site, goes_on, live

ROUNDS = 3


def candidate(site: Site) -> dict[str, object]:
    found = site.status()["candidate"]
    assert isinstance(found, dict)
    return found


def hold(site: Site, version: str) -> str:
    commit = site.commit(version)
    reply = site.post("/deploy", {"commit": commit, "hold": True})
    assert (reply.status, reply.body.get("held")) == (200, True), reply
    assert "the held version runs" in str(reply.body["warnings"])
    found = candidate(site)
    assert (found["commit"], found["state"]) == (commit, "held")
    return commit


def pid(site: Site) -> int:
    """Of the held version."""
    with closing(sqlite3.connect(f"file:{site.data}/state.db?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT pid, running FROM processes WHERE running <> 'null'").fetchall()
    (found,) = [pid for pid, run in rows if json.loads(run)["version"]["commit"] == candidate(site)["commit"]]
    return int(found)


def test_no_request_fails_over_holds_promotes_and_aborts(site: Site) -> None:
    live(site)
    load = Load(site.port)
    versions = ["good"]
    with load.running():
        for number in range(ROUNDS):
            hold(site, f"aborted-{number}")
            goes_on(load)
            assert site.post("/abort").status == 200
            assert candidate(site)["state"] == ""
            commit = hold(site, f"promoted-{number}")
            versions.append(f"promoted-{number}")
            goes_on(load)
            assert site.post("/promote").status == 200
            assert site.status()["live_commit"] == commit
            goes_on(load)

    assert load.failures == []
    assert set(load.answers) == set(versions)
    seconds = [json.loads(str(row["stage_seconds"])) for row in site.history() if row["kind"] == "promote"]
    assert all(stages.keys() == {"health", "switch", "drain"} for stages in seconds)
    assert min(stages["health"] + stages["switch"] for stages in seconds) < 0.25


def test_it_survives_a_kill_and_a_reload_of_the_daemon(site: Site) -> None:
    good = live(site)
    held = hold(site, "next")
    app = pid(site)
    kill_daemon(site)
    site.start()
    assert (candidate(site)["commit"], candidate(site)["state"], pid(site)) == (held, "held", app)
    assert site.post("/reload").status == 202
    wait_until("it has reloaded", lambda: site.status()["reloads"] == 1)
    assert (candidate(site)["state"], pid(site)) == ("held", app)
    assert (site.status()["live_commit"], site.serving()) == (good, "good")
    assert site.post("/promote").status == 200

    assert site.serving() == "next"
    wait_until("it is told when the commit was made", lambda: site.status()["live_committed_at"])
    assert alive(app)
    assert [(row["kind"], row["result"]) for row in site.history()] == [
        ("deploy", "succeeded"),
        ("deploy", "succeeded"),
        ("promote", "succeeded"),
    ]


def test_kill_of_the_daemon_while_the_version_before_drains(site: Site) -> None:
    live(site, drain_timeout_ms=20_000)
    held = hold(site, "next")
    app = pid(site)
    with ThreadPoolExecutor() as pool:
        request = pool.submit(site.get, "/held")
        wait_until("a request is in flight", (site.data / "held").exists)
        promoting = pool.submit(site.post, "/promote")
        wait_until("it drains", lambda: site.status()["running"] == "drain")
        kill_daemon(site)
        assert promoting.exception()
        (site.data / "release").touch()
        assert request.result() == (200, "good")
        site.start()

    assert (site.status()["live_commit"], candidate(site)["state"]) == (held, "")
    assert site.serving() == "next"
    assert alive(app)


def test_one_that_has_ended_under_no_daemon_has_failed(site: Site) -> None:
    live(site)
    hold(site, "next")
    app = pid(site)
    kill_daemon(site)
    kill(app)
    site.start()

    assert candidate(site)["state"] == "failed"
    assert site.post("/promote").status == 409
    assert site.post("/abort").body["state"] == "failed"
    assert site.serving() == "good"


def test_crash_is_told_and_a_stop_leaves_nothing(site: Site) -> None:
    live(site)
    hold(site, "next")
    kill(pid(site))
    wait_until("the crash is noticed", lambda: candidate(site)["state"] == "failed")
    assert site.history()[-1]["result"] == "failed"
    assert "it ended while it was held" in str(site.history()[-1]["error"])
    hold(site, "again")
    app = pid(site)
    assert site.daemons[-1].stop() == 0

    assert not alive(app)
    assert site.history()[-1]["result"] == "interrupted"


def test_commands_say_what_is_held(site: Site) -> None:
    live(site)
    commit = site.commit("next")
    held = site.run("deploy", "--hold")
    assert (held.returncode, held.stdout) == (0, f"held {commit} in slot b\n"), held.stderr
    assert "`slot-machine promote` makes it live" in held.stderr
    status = site.run("status").stdout
    assert f"{commit[:8]} in slot b is held" in status
    assert " held " in site.run("history").stdout
    assert (site.data / "live-slot").read_text() == "a\n"
    aborted = site.run("abort", "--message", "blue")
    assert aborted.stdout == f"aborted {commit}, which was held\n"
    assert "aborted by " in str(site.history()[-1]["error"])
    refused = site.run("abort")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no candidate is held" in refused.stderr
    assert site.run("deploy", "--hold").returncode == 0
    promoted = site.run("promote")
    assert (promoted.returncode, promoted.stdout) == (0, f"promoted {commit} in slot b\n"), promoted.stderr
    assert (site.data / "live-slot").read_text() == "b\n"
    assert "no candidate is held" in site.run("promote").stderr


def test_no_proxy_refuses_by_name(site: Site) -> None:
    live(site, "--no-proxy")
    refused = site.post("/deploy", {"commit": "HEAD", "hold": True})

    assert refused.status == 409
    assert "with --no-proxy" in str(refused.body["error"])
