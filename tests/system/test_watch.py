"""A version that is watched after its switch, with a real app: it stays, or the old one is live again."""

import http.client
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

from demo.load import Load, until_stopped
from spec.waiting import wait_until
from spec.web import Reply, exchange

from tests.processes import alive, kill_daemon
from tests.world import MODES, Site, goes_on, live

LONG_MS = 600_000


def candidate(site: Site) -> dict[str, object]:
    found = site.status()["candidate"]
    assert isinstance(found, dict)
    return found


@contextmanager
def watched(site: Site, version: str, fails: float = 0) -> "Iterator[Future[Reply]]":
    """While the new version is watched, with what the deploy will be answered."""
    commit = site.commit(version, fails=fails)
    with ThreadPoolExecutor() as pool:
        deploying = pool.submit(site.post, "/deploy", {"commit": commit})
        wait_until("the new version is watched", lambda: deploying.done() or site.status()["running"] == "watch")
        assert not deploying.done(), deploying.result()
        yield deploying


def pid(site: Site) -> int:
    return int(site.get("/pid")[1])


def test_a_crash_leads_back_at_once_and_costs_no_other_request(site: Site) -> None:
    good = live(site, watch_ms=LONG_MS)
    before = pid(site)
    load = Load(site.port, (("GET", "/", True), ("GET", "/", False), ("GET", "/slow", False)))
    with load.running(), watched(site, "bad") as deploying:
        assert candidate(site)["state"] == "watched"
        wait_until("the new version answers", lambda: load.answers["bad"] > 20)
        assert crash(site) == 502
        reply = deploying.result(20)
        goes_on(load)

    assert (reply.status, reply.body["stage"]) == (500, "watch")
    assert "web ended: exit" in str(reply.body["error"])
    assert load.failures == []
    assert (site.status()["live_commit"], site.serving(), pid(site)) == (good, "good", before)
    assert candidate(site)["state"] == ""
    last = site.history()[-2]
    assert (last["kind"], last["result"], last["stage"]) == ("deploy", "failed", "watch")


def test_a_version_that_fails_a_fifth_of_one_path_is_taken_back_within_ten_seconds(site: Site) -> None:
    """At 50 requests a second, of which a tenth are for that path."""
    good = live(site, watch_ms=LONG_MS)
    load = Visitors(site.port)
    with load.running():
        wait_until("the old version is known", lambda: load.answered > 3000, 60)
        load.pause_s = 1 / 50
        with watched(site, "bad", fails=0.2) as deploying:
            began_s = time.monotonic()
            reply = deploying.result(60)
            took_s = time.monotonic() - began_s
        goes_on_without_failures(load)

    assert (reply.status, reply.body["stage"]) == (500, "watch"), reply
    assert "/checkout failed" in str(reply.body["error"])
    assert site.status()["live_commit"] == good
    assert load.others == []
    assert took_s < 20, "10 s in 95 of 100 cases"
    print(f"taken back after {took_s:.1f} s and {load.failed} failures")


def test_a_candidate_that_fails_in_its_share_loses_it(site: Site) -> None:
    good = live(site, watch_ms=LONG_MS, watch_action="hold")
    load = Visitors(site.port)
    with load.running():
        assert site.post("/deploy", {"commit": site.commit("bad", fails=0.5), "hold": True}).status == 200
        wait_until("the old version is known", lambda: load.answered > 2000, 60)
        assert site.post("/promote", {"share": 50}).status == 200
        load.pause_s = 1 / 100
        wait_until("it has failed", lambda: candidate(site)["state"] == "failed", 60)
        goes_on_without_failures(load)

    assert load.others == []
    assert "for /checkout failed" in str(candidate(site)["error"])
    numbers = candidate(site)["numbers"]
    assert str(candidate(site)["verdict"]).startswith("worse: ")
    assert isinstance(numbers, dict)
    assert numbers["errors"] > numbers["old_errors"]
    assert site.status()["live_commit"] == good
    deploy = site.history()[1]
    assert (deploy["kind"], deploy["result"], deploy["stage"]) == ("deploy", "failed", "watch")
    assert site.post("/abort").status == 200


def goes_on_without_failures(load: "Visitors") -> None:
    before = load.answered
    wait_until("the load goes on", lambda: load.answered > before + 50)
    failed = load.failed
    wait_until("the load goes on", lambda: load.answered > before + 200)
    assert load.failed == failed


class Visitors:
    """Each has an address of its own, and opens one page."""

    def __init__(self, port: int) -> None:
        self.answered = 0
        self.failed = 0
        self.others: list[str] = []
        self.pause_s = 0.0
        self._port = port
        self._stopped = threading.Event()

    def running(self) -> AbstractContextManager[None]:
        return until_stopped([threading.Thread(target=self._visit)], self._stopped)

    def _visit(self) -> None:
        number, next_s = 0, time.monotonic()
        while not self._stopped.wait(max(0, next_s - time.monotonic())):
            number, next_s = number + 1, max(next_s, time.monotonic() - 1) + self.pause_s
            path = "/checkout" if number % 10 == 0 else "/"
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                connection.request("GET", path, headers={"X-Forwarded-For": f"10.0.{number >> 8 & 255}.{number & 255}"})
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                self.others.append(f"{path}: {error!r}")
                continue
            finally:
                connection.close()
            self.answered += status == 200
            self.failed += status == 500
            if status not in (200, 500):
                self.others.append(f"{path}: {status}")


def crash(site: Site) -> int:
    """Its own request can't be answered."""
    return exchange(site.port, "POST", "/crash", {})[0]


def test_abort_and_promote_in_a_watch_under_load(site: Site) -> None:
    good = live(site, watch_ms=LONG_MS)
    load = Load(site.port)
    with load.running():
        with watched(site, "aborted") as deploying:
            goes_on(load)
            reply = site.post("/abort")
            assert (reply.status, reply.body["state"]) == (200, "watched")
            assert deploying.result(20).status == 409
        assert site.status()["live_commit"] == good
        goes_on(load)
        with watched(site, "promoted") as deploying:
            refused = site.post("/rollback")
            assert refused.status == 409
            assert "slot-machine promote" in str(refused.body["hint"])
            assert site.post("/promote").status == 200
            assert deploying.result(20).status == 200
        goes_on(load)

    assert load.failures == []
    assert site.serving() == "promoted"


def test_a_kill_of_the_daemon_does_not_end_the_watch(site: Site) -> None:
    good = live(site, watch_ms=LONG_MS)
    before = pid(site)
    load = Load(site.port, (("GET", "/", True), ("GET", "/", False)))
    detached = site.post("/deploy", {"commit": site.commit("next"), "detach": True})
    assert (detached.status, detached.body["watched"]) == (200, True)
    with load.running():
        kill_daemon(site)
        goes_on(load)
        site.start()
        wait_until("the watch goes on", lambda: site.status()["running"] == "watch")
        assert (candidate(site)["state"], site.serving(), alive(before)) == ("watched", "next", True)
        goes_on(load)
        assert site.post("/abort").status == 200
        goes_on(load)

    assert load.failures == []
    assert (site.status()["live_commit"], pid(site)) == (good, before)
    assert [(row["kind"], row["result"]) for row in site.history()] == [
        ("deploy", "succeeded"),
        ("deploy", "cancelled"),
    ]


def test_one_that_has_ended_while_no_daemon_ran_is_taken_back(site: Site) -> None:
    good = live(site, watch_ms=LONG_MS)
    assert site.post("/deploy", {"commit": site.commit("next"), "detach": True}).status == 200
    kill_daemon(site)
    crash(site)
    site.start()
    wait_until("the old version is live", lambda: site.status()["live_commit"] == good and not site.status()["running"])
    assert site.serving() == "good"


def test_a_stop_of_the_daemon_keeps_the_new_version(site: Site) -> None:
    live(site, watch_ms=LONG_MS)
    commit = site.commit("next")
    assert site.post("/deploy", {"commit": commit, "detach": True}).status == 200
    old = pid(site)
    site.daemons[-1].stop()
    wait_until("nothing runs", lambda: not alive(old))
    site.start()
    assert (site.status()["live_commit"], site.serving()) == (commit, "next")


def test_a_crash_of_a_worker_leads_back(site: Site) -> None:
    work = f"{shlex.quote(sys.executable)} -IS -c 'import time, pathlib; time.sleep(1); "
    work += 'exec("if pathlib.Path(\\"bad\\").exists(): raise SystemExit(3)"); time.sleep(600)\''
    good = live(site, watch_ms=LONG_MS, processes={"worker": work})
    site.commit("next", {"bad": "yes"})
    reply = site.post("/deploy", {"commit": "HEAD"})
    assert (reply.status, reply.body["stage"]) == (500, "watch"), reply
    assert "worker ended: exit" in str(reply.body["error"])
    assert site.status()["live_commit"] == good


def test_one_that_is_kept_for_a_look_runs_on_until_it_is_aborted(site: Site) -> None:
    good = live(site, watch_ms=LONG_MS, watch_action="hold", health_interval_ms=200)
    with watched(site, "sick") as deploying:
        bad = pid(site)
        assert site.get("/sicken")[0] == 200
        reply = deploying.result(20)
    assert (reply.status, reply.body["stage"]) == (500, "watch"), reply
    assert "/healthz answered 500" in str(reply.body["error"])
    found = candidate(site)
    assert (found["state"], alive(bad), site.serving()) == ("failed", True, "good")
    kill_daemon(site)
    site.start()
    assert (candidate(site)["state"], alive(bad), site.status()["live_commit"]) == ("failed", True, good)
    assert (candidate(site)["verdict"], candidate(site)["share"]) == (found["verdict"], 0)
    assert str(found["verdict"]).startswith("worse: ")
    assert site.post("/abort").status == 200
    assert not alive(bad)


@MODES
def test_an_unhealthy_one_is_taken_back_in_each_mode(site: Site, options: tuple[str, ...]) -> None:
    good = live(site, *options, watch_ms=LONG_MS, health_interval_ms=200)
    with watched(site, "sick") as deploying:
        assert site.get("/sicken")[0] == 200
        reply = deploying.result(20)
    assert (reply.status, reply.body["stage"]) == (500, "watch"), reply
    assert (site.status()["live_commit"], site.serving()) == (good, "good")


def test_with_replace_the_old_version_is_started_again(site: Site) -> None:
    good = live(site, watch_ms=LONG_MS, health_interval_ms=200, strategy="replace")
    load = Load(site.port, (("GET", "/", True), ("GET", "/", False)))
    with load.running(), watched(site, "sick") as deploying:
        assert site.get("/sicken")[0] == 200
        reply = deploying.result(20)
        goes_on(load)
    assert (reply.status, reply.body["stage"]) == (500, "watch"), reply
    assert load.failures == []
    assert site.status()["live_commit"] == good


def test_the_command_shows_the_numbers_and_fails(site: Site) -> None:
    live(site, watch_ms=LONG_MS)
    commit = site.commit("bad")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(site.run, "deploy", commit)
        wait_until("the new version is watched", lambda: site.status()["running"] == "watch")
        shown = site.run("status")
        assert "is live and watched" in shown.stdout
        crash(site)
        done = running.result(20)
    assert done.returncode == 1
    assert "watch" in done.stderr
    assert "requests" in done.stderr
    assert "slot-machine logs --slot b" in done.stderr
    assert "worse: web ended" in site.run("show").stdout
