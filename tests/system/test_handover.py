"""`--no-proxy` where the port can be handed over, and where it can't."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from demo.load import Load
from spec.processes import inheritors
from spec.waiting import wait_until
from spec.web import exchange

from tests.processes import alive, children_of, keeper, kill, kill_daemon
from tests.world import Site, fail_after, goes_on, live

DENIED = Path(__file__).parents[1] / "handover" / "denied.py"
VISITORS = (("GET", "/", False), ("POST", "/", False), ("GET", "/slow", False))
"""A connection a request: only those are handed over."""


def deny(site: Site) -> None:
    """Runs the daemon as in a container that does not let it look into other processes."""
    site.prefix = (sys.executable, str(DENIED), "pidfd_getfd")


def switch_under_load(site: Site, switches: int) -> Load:
    for version in ("v1", "v2"):
        site.commit(version)
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    load = Load(site.port, VISITORS)
    with load.running():
        for _ in range(switches):
            goes_on(load)
            assert site.post("/rollback").status == 200
    return load


def deploy(site: Site) -> str:
    """Returns what people see of it."""
    done = site.run("deploy")
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_no_visitor_is_lost_over_switches(site: Site) -> None:
    site.start("--no-proxy")

    load = switch_under_load(site, 6)

    assert load.failures == []
    assert set(load.answers) == {"v1", "v2"}
    assert (site.status()["handover"], site.status()["handover_reason"]) == (True, "")


def test_without_a_handover_visitors_are_lost(site: Site) -> None:
    """Shows that the load above would notice."""
    deny(site)
    site.start("--no-proxy")

    assert switch_under_load(site, 3).failures != []

    assert site.status()["handover"] is False
    assert children_of(site.daemons[-1].process.pid, "slot_machine.handover") == [], "nobody needs a keeper"
    assert "pidfd_getfd" in str(site.status()["handover_reason"])
    assert "no handover of the port: pidfd_getfd" in deploy(site)
    assert " ERROR " not in site.daemons[-1].log.read_text(), "it was told once, at the start"


def test_failed_deploy_beside_the_live_version_costs_no_visitor(site: Site) -> None:
    good = live(site, "--no-proxy", health_timeout_ms=1500)
    load = Load(site.port, VISITORS)
    with load.running():
        for behaviour in ({"exit": 3}, {"healthy": False}, {"deaf": True}):
            site.commit("bad", **behaviour)
            fail_after(site, good, "health")

    assert load.failures == []
    assert set(load.answers) == {"good"}


def test_another_address_falls_back_and_says_so(site: Site) -> None:
    live(site, "--no-proxy")
    site.commit("any", host="0.0.0.0")
    said = deploy(site)

    assert "no handover of the port: it listens on 0.0.0.0" in said
    assert site.serving() == "any"
    assert site.status()["handover"] is True
    site.commit("next", host="0.0.0.0")
    assert "no handover" not in deploy(site)
    assert site.serving() == "next"


def test_internal_port_is_handed_over_as_well(site: Site) -> None:
    internal = site.port + 1
    live(site, "--no-proxy", internal_port=internal)
    site.commit("next")

    said = deploy(site)

    assert "no handover" not in said
    assert "in flight" not in said, "nothing is left to wait for"
    assert site.serving() == "next"
    assert exchange(internal, "GET", "/pid") == exchange(site.port, "GET", "/pid")


def test_way_back_from_a_version_that_listens_on_more(site: Site) -> None:
    good = live_on_the_internal_port_alone(site)
    with when_next_is_saved(site, "SELECT RAISE(ABORT, 'it could not')"):
        reply = site.post("/deploy", {"commit": "HEAD"})

    assert (reply.status, reply.body["stage"]) == (500, "switch")
    assert "it could not" in str(reply.body["error"])
    assert exchange(site.port + 1, "GET", "/") == (200, b"good")
    assert (site.status()["live_commit"], site.status()["healthy"]) == (good, True)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.serving() == "next"


def test_way_back_from_a_switch_that_was_not_saved(site: Site) -> None:
    good = live_on_the_internal_port_alone(site)
    with when_next_is_saved(site, FOREVER):
        client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
        wait_until("traffic goes to the next one", lambda: exchange(site.port + 1, "GET", "/") == (200, b"next"))
        kill_daemon(site)
        client.wait()

    site.start("--no-proxy")

    assert exchange(site.port + 1, "GET", "/") == (200, b"good")
    assert (site.status()["live_commit"], site.status()["healthy"]) == (good, True)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.serving() == "next"


FOREVER = "WITH RECURSIVE endless(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless) SELECT max(n) FROM endless"


def live_on_the_internal_port_alone(site: Site) -> str:
    """The next version to be deployed listens on both."""
    site.start("--no-proxy", internal_port=site.port + 1)
    good = site.commit("good", ports=["INTERNAL_PORT"])
    assert site.post("/deploy", {"commit": good}).status == 200
    site.commit("next")
    return good


@contextmanager
def when_next_is_saved(site: Site, statement: str) -> Iterator[None]:
    """What the database is to do when the next version is saved as live."""
    with closing(sqlite3.connect(site.data / "state.db", isolation_level=None)) as db:
        db.execute(f"CREATE TRIGGER surprise BEFORE UPDATE OF live_commit ON state BEGIN {statement}; END")
        yield
        db.execute("DROP TRIGGER surprise")


def test_keeper_that_is_killed_costs_no_visitor_and_one_gap(site: Site) -> None:
    live(site, "--no-proxy")
    load = Load(site.port, VISITORS)
    with load.running():
        kill(keeper(site))
        wait_until("it is noticed", lambda: site.status()["handover"] is False)
        goes_on(load)
    assert load.failures == []
    assert "has ended" in str(site.status()["handover_reason"])

    site.commit("next")
    assert "no handover of the port" in deploy(site)
    assert site.serving() == "next"
    assert site.status()["handover"] is True
    site.commit("last")
    assert "no handover" not in deploy(site)
    assert site.serving() == "last"


def test_keeper_that_is_killed_during_a_deploy_leaves_the_live_version(site: Site) -> None:
    live(site, "--no-proxy", health_timeout_ms=2000)
    site.commit("deaf", deaf=True)
    client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.PIPE, text=True)
    wait_until("both run", lambda: len(children_of(site.daemons[-1].process.pid, "app.py")) == 2)
    kill(keeper(site))

    _, said = client.communicate(timeout=20)

    assert client.returncode == 1
    assert "there is no keeper" in said or "connection is gone" in said
    assert site.serving() == "good"
    assert (site.status()["healthy"], site.status()["handover"]) == (True, True)


def test_daemon_that_is_killed_costs_no_visitor_and_the_next_hands_over_again(site: Site) -> None:
    live(site, "--no-proxy")
    app, keeping = site.get("/pid"), keeper(site)
    load = Load(site.port, VISITORS)
    with load.running():
        kill_daemon(site)
        assert site.get("/bind") == (200, "bound"), "somebody answers for a bind without a daemon, too"
        goes_on(load)
        site.start("--no-proxy")
        assert (site.get("/pid"), alive(keeping)) == (app, True)
        site.commit("next")
        assert "no handover" not in deploy(site)
        goes_on(load)

    assert load.failures == []
    assert site.serving() == "next"
    assert site.daemons[-1].stop() == 0
    assert not alive(keeping)


def test_daemon_that_is_killed_during_a_deploy_leaves_visitors_to_the_live_version(site: Site) -> None:
    live(site, "--no-proxy", health_timeout_ms=20_000)
    load = Load(site.port, VISITORS)
    with load.running():
        site.commit("sick", healthy=False)
        client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
        wait_until("both run", lambda: len(children_of(site.daemons[-1].process.pid, "app.py")) == 2)
        kill_daemon(site)
        assert client.wait(10) == 1
        site.start("--no-proxy")
        site.commit("next")
        assert "no handover" not in deploy(site)
        goes_on(load)

    assert load.failures == []
    assert set(load.answers) == {"good", "next"}


def test_reload_keeps_the_handover(site: Site) -> None:
    live(site, "--no-proxy")
    app, keeping = site.get("/pid"), keeper(site)
    load = Load(site.port, VISITORS)
    with load.running():
        assert site.run("reload").returncode == 0
        assert (site.get("/pid"), keeper(site)) == (app, keeping)
        site.commit("next")
        assert "no handover" not in deploy(site)
        goes_on(load)

    assert load.failures == []
    assert site.daemons[-1].stop() == 0
    assert not alive(keeping)


def test_nothing_is_left_of_a_daemon_that_stopped(site: Site) -> None:
    live(site, "--no-proxy")
    daemon = site.daemons[-1]

    assert daemon.stop() == 0

    assert list(inheritors("SPEC_DAEMON", str(daemon.log))) == []
    assert not (site.data / "handover.sock").exists()
