"""Holds, promotes, aborts, shares and automatic returns under load. No request may fail because of them.

Usage: python -m soak.trust PATH_OF_SLOT_MACHINE [ROUNDS]. Prints what it does. The exit code is 1 if a request failed.
"""

import os
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


class Trust:
    """`did` counts what was done."""

    def __init__(self, site: Site, visitors: Visitors) -> None:
        self.did: Counter[str] = Counter()
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
        self._goes_on()

    def _hold_and_abort(self, version: str) -> None:
        self._hold(version)
        self._post("abort", "/abort")
        self._goes_on()

    def _hold_and_promote(self, version: str) -> None:
        self._hold(version)
        self._visitors.expect(self._live, version)
        self._post("promote", "/promote")
        self._is_live(version)

    def _hold(self, version: str) -> None:
        self._post("hold", "/deploy", {"commit": self._commit(version), "hold": True})
        self._goes_on()

    def _is_live(self, version: str) -> None:
        self._visitors.expect(version)
        self._live = version
        self._goes_on()

    def _commit(self, version: str, **behaviour: object) -> str:
        return self._site.commit(version, {"app.py": APP.read_text()}, **behaviour)

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
        site.start()
        try:
            trust.begin()
            began_s = time.monotonic()
            with visitors.running():
                for number in range(rounds):
                    trust.round(number)
                    print(f"{time.monotonic() - began_s:8.1f} s  {dict(trust.did)}", flush=True)
        finally:
            site.daemons[-1].stop()
    print(f"{visitors.answers.total()} answers, {visitors.refused.total()} refused by bad versions")
    print(f"{len(visitors.failures)} failures", *visitors.failures[:20], sep="\n")
    return 1 if visitors.failures else 0


if __name__ == "__main__":
    _, path, *rest = sys.argv
    sys.exit(main(os.path.abspath(path), int(rest[0]) if rest else 100))
