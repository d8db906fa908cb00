"""A candidate that waits until somebody promotes or aborts it, or a version that is live and watched."""

from typing import Literal

import msgspec

from slot_machine.core.model import State, Version
from slot_machine.core.upstream import Beside, Upstream
from slot_machine.core.verdict import Verdict

CandidateState = Literal["held", "sharing", "watched", "failed"]

WHOLE = 10_000
"""All visitors. A share is a part of these."""


class Candidate(msgspec.Struct, frozen=True):
    """`attempt` is the id of the deploy that started it. `error` says why it failed.

    `since` is RFC 3339 in UTC: since then it is held, or has its share. `since_s` is the same moment by the monotonic
    clock, which all daemons share until the machine boots again.
    """

    version: Version
    attempt: int
    since: str
    since_s: float
    state: CandidateState = "held"
    error: str = ""
    token: str = ""
    """Of its preview. Empty if an earlier release held it."""
    share: int = 0
    """Of 10,000 visitors, so many get it."""
    share_id: str = ""
    before: State | None = None
    """Of one that is watched: the state before it was live, to which a return leads."""
    runs_on: bool = False
    """Of one that has failed: it runs on for a look."""
    verdict: Verdict | None = None
    """Of one that was taken back because it is worse."""

    def beside(self, upstream: Upstream) -> Beside:
        """`upstream` is that of its web run."""
        config = self.version.config
        return Beside(upstream, self.token, self.share, self.share_id, config.share_cookie, config.share_cookie_values)

    @property
    def waits(self) -> bool:
        """Whether it is to run: it is held, or has a share."""
        return self.state in ("held", "sharing")

    @property
    def percent(self) -> float:
        return self.share * 100 / WHOLE

    def shared(self, share: int, share_id: str, since: str, since_s: float) -> "Candidate":
        return msgspec.structs.replace(
            self, state="sharing", share=share, share_id=share_id, since=since, since_s=since_s
        )

    def failed(self, error: str, verdict: Verdict | None = None) -> "Candidate":
        return msgspec.structs.replace(
            self, state="failed", error=error, share=0, share_id="", runs_on=False, verdict=verdict
        )
