"""A candidate that stays a candidate: it runs in the idle slot, and waits until somebody promotes or aborts it."""

from typing import Literal

import msgspec

from slot_machine.core.model import Version

CandidateState = Literal["held", "failed"]


class Candidate(msgspec.Struct, frozen=True):
    """`attempt` is the id of the deploy that started it. `error` says why it failed.

    `since` is RFC 3339 in UTC. `since_s` is the same moment by the monotonic clock, which all daemons share until the
    machine boots again.
    """

    version: Version
    attempt: int
    since: str
    since_s: float
    state: CandidateState = "held"
    error: str = ""

    def failed(self, error: str) -> "Candidate":
        return msgspec.structs.replace(self, state="failed", error=error)
