"""`promote --share`: a part of the visitors gets the candidate, and each of them stays on a side."""

import http.client
import json
import re
import shlex
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from demo.load import Load, until_stopped
from spec.waiting import wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.processes import children_of, kill, kill_daemon
from tests.world import Site, goes_on, live, metric, serves

ROUNDS = 2
GETS = (("GET", "/", True), ("GET", "/", False), ("GET", "/slow", True), ("GET", "/slow", False))
WEBSOCKET_APP = Path(__file__).parents[1] / "clients" / "websocket_app.py"
GOING_AWAY = 1001


class Visitor:
    """A browser: it keeps the cookie. `seen` has the versions that it got, without repetitions."""

    def __init__(self, site: Site) -> None:
        self.seen: list[str] = []
        self.failures: list[str] = []
        self.cookie = ""
        self._site = site

    def visit(self) -> str:
        fields = {"Accept": "text/html", "Cookie": f"a=b; {self.cookie}"}
        connection = http.client.HTTPConnection("127.0.0.1", self._site.port, timeout=20)
        try:
            connection.request("GET", "/", headers=fields)
            reply = connection.getresponse()
            version = reply.read().decode()
            if reply.status != 200:
                self.failures.append(f"{reply.status} {version}")
            if given := reply.headers["Set-Cookie"]:
                self.cookie = given.partition(";")[0]
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
            return ""
        finally:
            connection.close()
        if self.seen[-1:] != [version]:
            self.seen.append(version)
        return version


def pin(site: Site, number: int) -> str:
    """The cookie of a visitor with this number in the share that is in force."""
    visitor = Visitor(site)
    visitor.visit()
    return re.sub(r"\.\d+$", f".{number}", visitor.cookie)


@contextmanager
def visitors(site: Site, many: int = 40) -> Iterator[list[Visitor]]:
    found = [Visitor(site) for _ in range(many)]
    stopped = threading.Event()

    def come_and_go() -> None:
        while not stopped.is_set():
            for visitor in found:
                visitor.visit()

    with until_stopped([threading.Thread(target=come_and_go)], stopped):
        yield found


def hold(site: Site, version: str) -> str:
    commit = site.commit(version)
    assert site.post("/deploy", {"commit": commit, "hold": True}).status == 200
    return commit


def pid(site: Site) -> int:
    """Of the candidate."""
    with closing(sqlite3.connect(f"file:{site.data}/state.db?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT pid, running FROM processes WHERE running <> 'null'").fetchall()
    (found,) = [pid for pid, run in rows if json.loads(run)["version"]["commit"] == candidate(site)["commit"]]
    return int(found)


def share(site: Site, percent: float) -> None:
    reply = site.post("/promote", {"share": percent})
    assert (reply.status, reply.body.get("share")) == (200, percent), reply


def candidate(site: Site) -> dict[str, object]:
    found = site.status()["candidate"]
    assert isinstance(found, dict)
    return found


def test_no_request_fails_over_shares_aborts_and_promotes(site: Site) -> None:
    live(site)
    load, before = Load(site.port), "good"
    with load.running():
        for number in range(ROUNDS):
            with visitors(site) as came:
                hold(site, f"aborted-{number}")
                for percent in (10, 50):
                    share(site, percent)
                    goes_on(load)
                assert site.post("/abort").status == 200
                wait_until("all are back", lambda: all(visitor.seen[-1:] == [before] for visitor in came))  # noqa: B023
            for visitor in came:
                assert visitor.failures == []
                assert visitor.seen in ([before], [f"aborted-{number}", before], [before, f"aborted-{number}", before])
            assert any(f"aborted-{number}" in visitor.seen for visitor in came)

            with visitors(site) as came:
                hold(site, f"promoted-{number}")
                for percent in (10, 50):
                    share(site, percent)
                    goes_on(load)
                assert site.post("/promote").status == 200
                wait_until("all have seen it", lambda: all(f"promoted-{number}" in v.seen for v in came))  # noqa: B023
            for visitor in came:
                assert visitor.failures == []
                assert visitor.seen in ([f"promoted-{number}"], [before, f"promoted-{number}"])
            before = f"promoted-{number}"

    assert load.failures == []
    kinds = [(row["kind"], row["result"], row["share"]) for row in site.history()]
    shares = [("promote", "shared", 10), ("promote", "shared", 50)]
    once = [("deploy", "cancelled", 0), *shares, ("deploy", "succeeded", 0), *shares, ("promote", "succeeded", 0)]
    assert kinds == [("deploy", "succeeded", 0), *once * ROUNDS]


def test_websockets_are_on_the_side_of_their_visitor_and_end_with_the_share(site: Site) -> None:
    site.start(drain_timeout_ms=1000, start_command=f"{shlex.quote(sys.executable)} app.py", health_timeout_ms=20_000)
    app = {"app.py": WEBSOCKET_APP.read_text()}
    assert site.post("/deploy", {"commit": site.commit("old", app)}).status == 200
    assert site.post("/deploy", {"commit": site.commit("new", app), "hold": True}).status == 200
    share(site, 50)
    url = f"ws://127.0.0.1:{site.port}/"
    cookies = {"new": pin(site, 1), "old": pin(site, 9999)}
    for version, cookie in cookies.items():
        with connect(url, additional_headers={"Cookie": cookie}) as connection:
            connection.send("hello")
            assert connection.recv() == f"{version} hello"
    new, old = (connect(url, additional_headers={"Cookie": cookies[version]}) for version in ("new", "old"))
    with new, old:
        assert site.post("/abort").status == 200
        with pytest.raises(ConnectionClosed) as closed:
            new.recv(timeout=10)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == GOING_AWAY
        old.send("still here")
        assert old.recv() == "old still here"
    with connect(url, additional_headers={"Cookie": cookies["new"]}) as connection:
        connection.send("again")
        assert connection.recv() == "old again"


def test_a_share_outlives_its_workers_a_reload_and_a_kill_of_the_daemon(site: Site) -> None:
    live(site, proxy_workers=2)
    hold(site, "next")
    share(site, 2.5)
    cookie = pin(site, 249)

    def goes_on_for_its_visitors() -> None:
        for number, version in ((249, "next"), (250, "good")):
            visitor = Visitor(site)
            visitor.cookie = re.sub(r"\.\d+$", f".{number}", cookie)
            for _ in range(10):
                assert visitor.visit() == version, visitor.failures
            assert visitor.cookie.endswith(f".{number}")
        assert (candidate(site)["state"], candidate(site)["share"]) == ("sharing", 2.5)

    goes_on_for_its_visitors()
    kill_daemon(site)
    site.start()
    goes_on_for_its_visitors()
    assert site.post("/reload").status == 202
    wait_until("it has reloaded", lambda: site.status()["reloads"] == 1)
    goes_on_for_its_visitors()
    for worker in children_of(site.daemons[-1].process.pid, "slot_machine.proxy"):
        kill(worker)
    restarts = 'restarts_total{process="proxy"}'
    wait_until("there are others", lambda: metric(site, restarts) >= 2 and serves(site))
    goes_on_for_its_visitors()
    assert metric(site, 'share{slot="b"}') == 0.025


def test_a_crash_in_a_share_costs_no_get(site: Site) -> None:
    live(site)
    load = Load(site.port, GETS)
    with load.running(), visitors(site) as came:
        hold(site, "next")
        share(site, 99)
        goes_on(load)
        visitor = Visitor(site)
        wait_until("one gets it", lambda: visitor.visit() == "next")
        kill(pid(site))
        wait_until("it has failed", lambda: candidate(site)["state"] == "failed")
        assert "it ended while it had 99% of the visitors" in str(candidate(site)["error"])
        goes_on(load)
        assert Visitor(site).visit() == "good"
    assert load.failures == []
    assert [visitor.failures for visitor in came] == [[]] * len(came)
    assert site.post("/promote", {"share": 100}).status == 409


def test_both_sides_are_counted_and_logged(site: Site) -> None:
    log = site.repo / "access.log"
    live(site, access_log=log.name)
    hold(site, "next")
    share(site, 50)
    cookie = pin(site, 1)
    visitor = Visitor(site)
    visitor.cookie = cookie
    count = metric(site, 'requests_total{slot="b",status="2xx"}')
    for _ in range(7):
        assert visitor.visit() == "next"
    assert metric(site, 'requests_total{slot="b",status="2xx"}') == count + 7
    wait_until("the log has them", lambda: log.exists() and len(log.read_text().splitlines()) == 8)
    assert [json.loads(line)["slot"] for line in log.read_text().splitlines()][1:] == ["b"] * 7


def test_commands_say_who_gets_what(site: Site) -> None:
    live(site)
    commit = hold(site, "next")
    done = site.run("promote", "--share", "10%")
    assert (done.returncode, done.stdout) == (0, f"10% of the visitors get {commit} in slot b\n"), done.stderr
    assert "`slot-machine abort` sends all visitors back" in done.stderr
    assert f"{commit[:8]} in slot b has 10% of the visitors, begun " in site.run("status").stdout
    assert re.search(r"promote +\w+ +ok, 10% ", site.run("history").stdout)
    assert "shared: 10% of the visitors" in site.run("show").stdout

    reply = json.loads(site.run("promote", "--share", "12.5", "--json").stdout)
    assert (reply["success"], reply["share"]) == (True, 12.5)
    lower = site.run("promote", "--share", "5%")
    assert (lower.returncode, lower.stdout) == (1, "")
    assert "would send visitors back" in lower.stderr
    aborted = site.run("abort")
    assert aborted.stdout == f"aborted {commit}, which had a share\n"
    nothing = json.loads(site.run("promote", "--share", "10%", "--json").stdout)
    assert (nothing["success"], nothing["hint"] != "") == (False, True)


@pytest.mark.parametrize("given", ["0", "0%", "-5", "101%", "100.01", "nan", "inf", "1e1", "half", "", "10 percent"])
def test_what_is_no_share_is_wrong_usage(site: Site, given: str) -> None:
    done = site.run("promote", f"--share={given}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no share of the visitors, such as 10% or 2.5%" in done.stderr


def test_what_is_no_share_is_refused_by_the_api(site: Site) -> None:
    site.start()
    for share_of in (0, -1, 101, 0.001, 12.345, 99.995, "10%", None, [10]):
        assert site.post("/promote", {"share": share_of}).status == 400, share_of


def test_a_misspelt_field_does_not_make_the_held_version_live(site: Site) -> None:
    live(site)
    held = hold(site, "next")

    reply = site.post("/promote", {"shares": 10})
    assert (reply.status, "shares" in str(reply.body["error"])) == (400, True), reply.body
    assert site.post("/deploy", {"commit": "HEAD", "holds": True}).status == 400
    assert (candidate(site)["commit"], candidate(site)["state"]) == (held, "held")
