"""What a switch did to requests: in the reply, the CLI, the history and the metrics."""

import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from demo.load import Load
from prometheus_client.parser import text_string_to_metric_families
from spec.waiting import wait_until
from spec.web import exchange

from tests.database import TO_SCHEMA_5
from tests.processes import children_of, kill
from tests.world import Site, live, switch_under_load

UNTOUCHED = {"finished": 0, "replayed": 0, "held": 0, "refused": 0, "cut": 0, "cut_streams": 0, "longest_drain_s": 0.0}


def metrics(site: Site) -> dict[tuple[str, ...], float]:
    """Samples by their name and the values of their labels but `app`, in the order of the labels' names."""
    _, text = exchange(site.api_port, "GET", "/metrics")
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, *(value for label, value in sorted(sample.labels.items()) if label != "app")): sample.value
        for family in families
        for sample in family.samples
    }


def test_requests_in_flight_at_the_switch_are_counted(site: Site) -> None:
    live(site)
    site.commit("next")
    with ThreadPoolExecutor() as pool:
        slow = [pool.submit(site.get, "/held") for _ in range(3)]
        wait_until("they are in flight", lambda: metrics(site)["slot_machine_requests_in_flight", "a"] == 3)
        deploying = pool.submit(site.run, "deploy")
        wait_until("the traffic has moved", lambda: site.status()["running"] == "drain")
        (site.data / "release").touch()
        assert [answer.result() for answer in slow] == [(200, "good")] * 3
    assert "3 finished, 0 dropped" in deploying.result().stderr
    (_, last) = site.history()
    counts = json.loads(str(last["requests"]))
    assert 0 < counts.pop("longest_drain_s") < 60
    assert counts == {name: 0 for name in UNTOUCHED if name != "longest_drain_s"} | {"finished": 3}
    assert site.status()["last_attempt"]["requests"]["finished"] == 3  # type: ignore[index]


@pytest.mark.parametrize(("strategy", "count"), [("overlap", "replayed"), ("replace", "held")])
def test_request_that_the_old_version_could_not_finish_goes_to_the_next(site: Site, strategy: str, count: str) -> None:
    live(site, drain_timeout_ms=500, strategy=strategy)
    site.commit("next")
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(site.get, "/held")
        wait_until("it is in flight", lambda: metrics(site)["slot_machine_requests_in_flight", "a"] == 1)
        reply = site.post("/deploy", {"commit": "HEAD"})
        (site.data / "release").touch()
        assert slow.result() == (200, "next")
    assert reply.body["requests"] == UNTOUCHED | {count: 1}


def test_requests_held_are_counted(site: Site) -> None:
    live(site, strategy="replace")
    site.commit("next")
    load = Load(site.port)
    with load.running():
        wait_until("the load runs", lambda: load.reached(20))
        reply = site.post("/deploy", {"commit": "HEAD"})
    assert load.failures == []
    assert reply.body["requests"]["held"] > 0  # type: ignore[index]


def test_nobody_counts_without_the_proxy(site: Site) -> None:
    live(site, "--no-proxy")
    site.commit("next")
    assert site.post("/deploy", {"commit": "HEAD"}).body["requests"] == ""
    assert ("slot_machine_switches_total",) in metrics(site)


def test_metrics_count_what_happened(site: Site) -> None:
    site.start()
    assert site.get()[0] == 503
    site.post("/deploy", {"commit": site.commit("good")})
    site.serving()
    exchange(site.port, "POST", "/", {"a": 1})
    site.get("/crash")
    wait_until("the app is back", lambda: site.status()["healthy"] and site.status()["restarts"] == 1)

    found = metrics(site)

    assert found["slot_machine_requests_total", "", "5xx"] >= 1
    assert found["slot_machine_requests_total", "a", "2xx"] == found["slot_machine_request_seconds_count", "a"] - 1
    assert found["slot_machine_requests_total", "a", "5xx"] == 1
    assert found["slot_machine_switches_total",] == 1
    assert found["slot_machine_restarts_total", "app"] == 1
    assert found["slot_machine_request_bytes_total", "a"] > 0
    assert found["slot_machine_response_bytes_total", "a"] > 0
    assert found["slot_machine_app_healthy",] == 1
    assert all(found["slot_machine_memory_bytes", name] > 1e6 for name in ("daemon", "proxy", "app"))


def test_workers_share_the_port_and_fail_no_request(site: Site) -> None:
    daemon = site.start(proxy_workers=2)
    workers = children_of(daemon.process.pid, "slot_machine.proxy")
    assert len(workers) == 2

    load = switch_under_load(site, 8)

    assert load.failures == []
    assert set(load.answers) == {"v1", "v2"}
    assert sum(value for key, value in metrics(site).items() if key[0] == "slot_machine_requests_total") >= 160


def test_worker_that_is_killed_comes_back_with_the_route(site: Site) -> None:
    live(site, proxy_workers=2)
    for worker in children_of(site.daemons[-1].process.pid, "slot_machine.proxy"):
        kill(worker)
    wait_until("both are back", lambda: metrics(site)["slot_machine_restarts_total", "proxy"] == 2)
    assert {site.serving() for _ in range(20)} == {"good"}


def test_worker_that_is_killed_during_a_hold_holds_again(site: Site) -> None:
    boot = "while test -e wait && ! test -e ../go; do sleep 0.05; done"
    live(site, strategy="replace", start_command=f"{boot}; exec {site.config['start_command']}")
    site.commit("next", {"wait": ""})
    with ThreadPoolExecutor() as pool:
        deploying = pool.submit(site.post, "/deploy", {"commit": "HEAD"})
        wait_until("the new version boots", lambda: site.status()["running"] == "health")
        (worker,) = children_of(site.daemons[-1].process.pid, "slot_machine.proxy")
        kill(worker)
        wait_until("it is back", lambda: metrics(site)["slot_machine_restarts_total", "proxy"] == 1)
        held = pool.submit(site.get)
        wait_until("a request is held", lambda: metrics(site)["slot_machine_requests_in_flight", ""] == 1)
        (site.data / "go").touch()
        assert held.result() == (200, "next")
        assert deploying.result().status == 200


def test_auto_is_a_worker_a_core(site: Site) -> None:
    daemon = site.start(proxy_workers="auto")
    assert len(children_of(daemon.process.pid, "slot_machine.proxy")) == len(os.sched_getaffinity(0))


def test_access_log_is_beside_the_configuration(site: Site) -> None:
    live(site, access_log="access.log")
    site.serving()
    site.daemons[-1].stop()
    (line,) = map(json.loads, (site.repo / "access.log").read_text().splitlines())
    assert (line["target"], line["status"], line["slot"]) == ("/", 200, "a")


def test_history_of_an_older_schema_is_kept(site: Site) -> None:
    live(site)
    site.daemons[-1].stop()
    with sqlite3.connect(site.data / "state.db") as db:
        db.executescript(TO_SCHEMA_5)
        db.execute("ALTER TABLE attempts DROP COLUMN requests")
        db.execute("ALTER TABLE attempts RENAME COLUMN trigger TO origin")
        for column in ("mark", "cgroup", "role", "running", "release_id", "run"):
            db.execute(f"ALTER TABLE processes DROP COLUMN {column}")
        for column in ("serial", "live_tree", "previous_tree"):
            db.execute(f"ALTER TABLE state DROP COLUMN {column}")
        for table in ("trees", "made", "sizes"):
            db.execute(f"DROP TABLE {table}")
        db.execute("CREATE TABLE slots (name TEXT PRIMARY KEY, commit_hash TEXT, fingerprint TEXT)")
        db.execute("PRAGMA user_version = 1")
    db.close()
    (site.data / "state.db.seal").unlink()

    site.start()

    assert site.serving() == "good"
    assert [row["kind"] for row in site.history()] == ["deploy", "recovery"]
    assert (site.data / "state.db.schema-1").exists()


def test_status_names_what_is_being_deployed(site: Site) -> None:
    live(site, setup_command="test ! -e wait || while test ! -e ../go; do sleep 0.05; done")
    commit = site.commit("next", {"wait": ""})
    with ThreadPoolExecutor() as pool:
        deploying = pool.submit(site.post, "/deploy", {"commit": commit})
        wait_until("the setup runs", lambda: site.status()["running"] == "setup")
        attempt = site.status()["last_attempt"]
        (site.data / "go").touch()
        assert deploying.result().status == 200
    assert isinstance(attempt, dict)
    assert [attempt[name] for name in ("commit", "slot", "stage", "result")] == [commit, "b", "setup", "running"]
