"""Kills a part (SIGKILL), and measures how long its outage lasts. The caller chooses the moment."""

import http.client
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tests.world import Site

from slot_machine.core.backoff import LONGEST_S
from soak import census, journal
from soak.checks import answer
from soak.outages import Kill

POLL_S = 0.02
MARGIN_S = 20.0
"""Allowed beyond the back-off, for a boot on a busy machine, and for a deploy that stops both versions and fails."""


class Killer:
    def __init__(self, site: Site, rng: random.Random) -> None:
        self.kills: list[Kill] = []
        self.too_long: list[str] = []
        self._site = site
        self._rng = rng
        self._watchers: list[threading.Thread] = []

    def daemon(self) -> None:
        process = self._site.daemons[-1].process
        process.kill()
        process.wait()

    def app(self, *, with_daemon: bool = False) -> bool:
        """Returns whether there was an app to kill."""
        with suppress(OSError, AssertionError):
            status = self._site.status()
            known, restarts = status["pid"], int(str(status["restarts"]))
            if with_daemon:
                self.daemon()
            # During a restart, two runs are of the live commit.
            session = os.getsid(int(str(known)))
            pids = [pid for pid in census.session(self._site, str(status["live_commit"])) if os.getsid(pid) == session]
            if known in pids:
                limit_s = min(2**restarts, LONGEST_S) + MARGIN_S
                kill = Kill("app", time.monotonic(), with_daemon)
                self._kill(self._rng.choice(pids), kill, limit_s, lambda: self._other_app(known))
                return True
        return False

    def worker(self, *, with_daemon: bool = False) -> bool:
        if with_daemon:
            self.daemon()
        pid = self._rng.choice(census.workers(self._site) or [0])
        if pid:
            self._kill(pid, Kill("worker", time.monotonic(), with_daemon), MARGIN_S, lambda: True)
        return bool(pid)

    def beside(self, *, with_daemon: bool = False) -> bool:
        """Kills a process beside the web process. No request may fail."""
        if with_daemon:
            self.daemon()
        found = census.beside(self._site)
        if found:
            pids = self._rng.choice(found)
            # With its parent, it is ended by the daemon.
            journal.killed(self._site, pids[-1])
            with suppress(ProcessLookupError):
                os.kill(self._rng.choice(pids), signal.SIGKILL)
        return bool(found)

    def join(self) -> None:
        """Waits until every outage is over."""
        for watcher in self._watchers:
            watcher.join()
        self._watchers.clear()

    def _kill(self, pid: int, kill: Kill, limit_s: float, is_back: Callable[[], bool]) -> None:
        self.kills.append(kill)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        watcher = threading.Thread(target=self._watch, args=(kill, limit_s, is_back))
        watcher.start()
        self._watchers.append(watcher)

    def _watch(self, kill: Kill, limit_s: float, is_back: Callable[[], bool]) -> None:
        while not (is_back() and self._serves()):
            if time.monotonic() - kill.at_s > limit_s:
                self.too_long.append(f"{kill} lasts longer than {limit_s} s")
                return
            time.sleep(POLL_S)
        kill.until_s = time.monotonic()

    def _other_app(self, pid: object) -> bool:
        try:
            status = self._site.status()
        except (OSError, AssertionError, http.client.HTTPException):
            return False
        return status["pid"] not in (0, pid)

    def _serves(self) -> bool:
        try:
            return answer(self._site.port)[0] == 200
        except (OSError, http.client.HTTPException):
            return False
