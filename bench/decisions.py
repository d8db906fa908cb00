"""How long a decision takes to reach the visitors: a switch, a promotion, a return in a watch.

From the decision, of which the daemon's log or the request for it tells, to the first reply of the other version. One
client asks meanwhile, with a request at a time.
"""

import http.client
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from statistics import median
from typing import NamedTuple

from demo.__main__ import git

from bench.contenders import Site
from bench.single import call, post

CONF = """
user root; daemon off; worker_processes 1; pid app.pid; error_log stderr crit;
events { worker_connections 64; }
http {
  access_log off; root .;
  client_body_temp_path body; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server { listen 127.0.0.1:@PORT@; location /healthz { return 200; } location / { return @STATUS@ "@SLOT@"; } } }
"""
GOOD, BAD = 200, 500
WATCH_MS = 60_000
ROUNDS = 11
PAUSE_S = 0.0005
TIMEOUT_S = 30
FEWEST_BEFORE = 100
"""Replies of the live version before a decision: it has a record of its own then."""


class Delay(NamedTuple):
    """Milliseconds: the median, and the worst one."""

    title: str
    median_ms: float
    worst_ms: float


class Visitor:
    """Asks all the time, as another person in each request. Keeps when which slot answered."""

    def __init__(self, port: int) -> None:
        self.replies: list[tuple[float, str]] = []
        self._port = port
        self._stopped = threading.Event()

    @contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        for number in count():
            if self._stopped.wait(PAUSE_S):
                break
            connection.request("GET", "/", headers={"Cookie": f"visitor={number}"})
            slot = connection.getresponse().read().decode()
            self.replies.append((time.time(), slot))
        connection.close()

    def settle(self) -> None:
        """Waits for replies, for `TIMEOUT_S` at most."""
        enough, ends_s = len(self.replies) + FEWEST_BEFORE, time.monotonic() + TIMEOUT_S
        while len(self.replies) < enough:
            assert time.monotonic() < ends_s, "no replies come any more"
            time.sleep(PAUSE_S)

    def first_of(self, slot: str, decided_s: float) -> float:
        """Milliseconds from the decision to the first reply of that slot."""
        return next(at_s - decided_s for at_s, its in self.replies if at_s >= decided_s and its == slot) * 1000


def delays(slot_machine: str) -> list[Delay]:
    with tempfile.TemporaryDirectory(prefix="slot-machine-bench-") as name:
        site = Site(slot_machine, Path(name), conf=CONF.replace("@STATUS@", str(GOOD)))
        try:
            site.start()
            visitor = Visitor(site.port)
            with visitor.asking():
                return [delay(title, [one(site, visitor) for _ in range(ROUNDS)]) for title, one in DECISIONS.items()]
        finally:
            site.stop()


def delay(title: str, found_ms: list[float]) -> Delay:
    return Delay(title, median(found_ms), max(found_ms))


def switch_ms(site: Site, visitor: Visitor) -> float:
    visitor.settle()
    site.deploy()
    visitor.settle()
    return visitor.first_of(live_slot(site), logged_s(site, "switch started"))


def promote_ms(site: Site, visitor: Visitor) -> float:
    commit(site)
    post(site, "/deploy", {"commit": "HEAD", "hold": True})
    visitor.settle()
    asked_s = time.time()
    post(site, "/promote")
    visitor.settle()
    return visitor.first_of(live_slot(site), asked_s)


def return_ms(site: Site, visitor: Visitor) -> float:
    before = live_slot(site)
    good = {path: path.read_text() for path in (site.repo / "app.conf", site.repo / "slot-machine.json")}
    conf, config = good
    conf.write_text(CONF.replace("@STATUS@", str(BAD)))
    config.write_text(good[config].replace("{", f'{{"watch_ms": {WATCH_MS}, ', 1))
    commit(site)
    visitor.settle()
    reply = call(site, "POST", "/deploy", {"commit": "HEAD"})
    assert reply["stage"] == "watch", reply
    visitor.settle()
    for path, text in good.items():
        path.write_text(text)
    return visitor.first_of(before, logged_s(site, "watch failed"))


def commit(site: Site) -> None:
    git(site.repo, "add", "--all")
    git(site.repo, "commit", "--quiet", "--allow-empty", "--message", "next")


def live_slot(site: Site) -> str:
    return str(call(site, "GET", "/status")["live_slot"])


def logged_s(site: Site, what: str) -> float:
    """When the daemon's log had that last."""
    log = site.repo.with_name("daemon.log").read_text()
    date, time_of_day, *_ = re.findall(rf"^.*: {what}.*$", log, re.MULTILINE)[-1].split()
    return datetime.strptime(f"{date} {time_of_day}", "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


DECISIONS = {
    "a deploy: the stage `switch` begins": switch_ms,
    "`promote` of a held version: the API is asked, its health check included": promote_ms,
    "a watch: the new version is judged worse": return_ms,
}
