"""Holds, promotes, aborts, shares and automatic returns under load. No request may fail because of them, no POST may be
lost or come to an app twice, and no version may close a WebSocket unless it leaves itself.

Usage: python -m soak.trust PATH_OF_SLOT_MACHINE [ROUNDS]. Prints what it does. The exit code is 1 if a request failed,
but for those that a bad version answered itself. In 50 rounds, there are 100 of each at least.
"""

import json
import os
import shlex
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from spec.orchestrator import Orchestrator
from spec.waiting import wait_until
from spec.web import Reply
from tests.world import Site

from soak.visitors import Visitors

APP = Path(__file__).parent.parent / "tests" / "clients" / "trial_app.py"
FILE = "app.json"
"""The commit's own file: only a bad version is watched, so that the others take no longer than they must."""
START = f"{shlex.quote(sys.executable)} -IS app.py"
WATCH_MS = 60_000
FAILS = 0.2
"""The share of the requests for `/checkout` that a bad version answers 500."""


class Trust:
    """`did` counts what was done."""

    def __init__(self, site: Site, visitors: Visitors) -> None:
        self.did: Counter[str] = Counter()
        self.returned_after_s: list[float] = []
        self.writes = site.folder / "writes"
        self._site = site
        self._visitors = visitors
        self._live = ""

    def begin(self) -> None:
        """The first version, before the load."""
        self._post("deploy", "/deploy", {"commit": self._commit("first")})
        self._live = "first"
        self._visitors.expect("first")

    def round(self, number: int) -> None:
        """Each version that is tried is seen by visitors only when they are to see it."""
        self._hold_and_abort(f"aborted-{number}")
        self._hold_and_promote(f"promoted-{number}")
        self._share_and_abort(f"tried-{number}")
        self._share_and_promote(f"shared-{number}")
        self._taken_back(f"bad-{number}")
        self._taken_back_in_a_share(f"bad-in-share-{number}")
        self._goes_on()

    def _hold_and_abort(self, version: str) -> None:
        self._hold(version)
        self._post("abort", "/abort")
        self._goes_on()

    def _hold_and_promote(self, version: str) -> None:
        self._hold(version)
        self._visitors.expect(self._live, version)
        self._visitors.leaves(self._live)
        self._post("promote", "/promote")
        self._is_live(version)

    def _share_and_abort(self, version: str) -> None:
        self._hold(version)
        self._share(version, 50)
        self._visitors.leaves(version)
        self._post("abort", "/abort")
        self._is_live(self._live)

    def _share_and_promote(self, version: str) -> None:
        self._hold(version)
        for share in (10, 50, 90):
            self._share(version, share)
        self._visitors.leaves(self._live)
        self._post("promote", "/promote", {"share": 100})
        self._is_live(version)

    def _share(self, version: str, share: int) -> None:
        self._visitors.expect(self._live, version)
        self._post("share", "/promote", {"share": share})
        self._goes_on()

    def _taken_back(self, version: str) -> None:
        """After its switch."""
        self._visitors.expect(self._live, bad=version)
        self._visitors.leaves(version)
        began_s = time.monotonic()
        reply = self._post("return", "/deploy", {"commit": self._commit_bad(version)}, expected=500)
        self.returned_after_s.append(time.monotonic() - began_s)
        assert reply.body["stage"] == "watch", reply
        self._is_live(self._live)

    def _taken_back_in_a_share(self, version: str) -> None:
        self._post("hold", "/deploy", {"commit": self._commit_bad(version), "hold": True})
        self._visitors.expect(self._live, bad=version)
        self._visitors.leaves(version)
        # Some visitors must get it, and `/checkout` has only a few.
        self._post("share", "/promote", {"share": 90})
        wait_until("it is taken back", lambda: self._state() == "failed")
        self.did["return from a share"] += 1
        self._post("abort", "/abort")
        self._is_live(self._live)

    def _state(self) -> object:
        candidate = self._site.status()["candidate"]
        assert isinstance(candidate, dict)
        return candidate["state"]

    def _hold(self, version: str) -> None:
        self._post("hold", "/deploy", {"commit": self._commit(version), "hold": True})
        self._goes_on()

    def _is_live(self, version: str) -> None:
        self._visitors.expect(version)
        self._live = version
        self._goes_on()

    def _commit(self, version: str, watch_ms: int = 0, **behaviour: object) -> str:
        own = {"start_command": START, "watch_ms": watch_ms}
        files = {"app.py": APP.read_text(), FILE: json.dumps(own)}
        return self._site.commit(version, files, writes=str(self.writes), **behaviour)

    def _commit_bad(self, version: str) -> str:
        return self._commit(version, WATCH_MS, fails=FAILS)

    def _post(self, what: str, path: str, body: dict[str, object] | None = None, expected: int = 200) -> Reply:
        reply = self._site.post(path, body)
        assert reply.status == expected, (what, reply)
        self.did[what] += 1
        return reply

    def _goes_on(self) -> None:
        """Waits until each visitor can have had another answer."""
        wait_until("the load goes on", partial(self._visitors.reached, self._visitors.answers.total() + 30))


def main(binary: str, rounds: int) -> int:
    with tempfile.TemporaryDirectory(prefix="slot-machine-trust-") as folder:
        site = Site(Orchestrator(Path(binary)), Path(folder))
        visitors = Visitors(site.port)
        trust = Trust(site, visitors)
        site.start(app_config=FILE)
        try:
            trust.begin()
            began_s = time.monotonic()
            with visitors.running():
                for number in range(rounds):
                    trust.round(number)
                    print(f"{time.monotonic() - began_s:8.1f} s  {dict(trust.did)}", flush=True)
        finally:
            site.daemons[-1].stop()
        failures = visitors.failures + visitors.misplaced_writes(trust.writes)
    print(f"{visitors.answers.total()} answers, {visitors.refused.total()} refused by bad versions")
    print(f"{len(visitors.acknowledged)} POSTs acknowledged, {visitors.closed} WebSockets closed by versions that left")
    print("returns took, with the deploy, in seconds:", *(f"{took_s:.1f}" for took_s in sorted(trust.returned_after_s)))
    print(f"{len(failures)} failures", *failures[:20], sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    _, path, *rest = sys.argv
    sys.exit(main(os.path.abspath(path), int(rest[0]) if rest else 50))
