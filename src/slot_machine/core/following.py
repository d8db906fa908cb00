"""What the history says of the commit at which a followed branch is: whether it may be deployed by itself."""

from collections.abc import Sequence
from typing import NamedTuple

from slot_machine.core.model import Attempt, State, short

FOLLOW = "follow"
"""The trigger of such a deploy, in the history."""

AGAIN = ("", "resolve", "checkout", "setup", "build")
"""A deploy that failed in one of these stages is tried again: the network or the machine may be the reason."""

NOT_ALONE = ("release", "watch", "held")
"""A deploy that was interrupted in one of these is not begun again: the database may be half migrated, the version
was being taken back, or somebody wanted to look at it first."""

MOST_INTERRUPTED = 3
"""A commit whose deploys are interrupted so often may be what ends the daemon."""

LONGEST_WAIT_S = 3600.0
"""From one deploy of a commit to the next try."""
LONGEST_LOOK_S = 900.0
"""From a look that failed to the next one."""


class Past(NamedTuple):
    """`left_out` is a reason, such as "since the rollback"; empty if the commit may be deployed.

    `tries`: so many deploys of it, the latest ones, did not come to their end. `known`: there was a deploy of it.
    """

    left_out: str = ""
    tries: int = 0
    known: bool = True


def past_of(commit: str, state: State, attempts: Sequence[Attempt]) -> Past:
    """Of a commit that is not live. `attempts` are without those of jobs and crashes, the latest first.

    A commit that somebody took back, or that proved bad, is left out until somebody deploys it by name.
    """
    tries = interrupted = 0
    replaced: Attempt | None = None
    for attempt in attempts:
        if attempt.commit != commit:
            replaced = attempt if attempt.went_live and attempt.kind != "recovery" else replaced
        elif attempt.went_live:
            return Past(_since(replaced), tries)
        elif attempt.kind not in ("deploy", "promote"):
            continue
        elif attempt.result == "interrupted" and attempt.stage not in NOT_ALONE:
            interrupted, tries = interrupted + 1, tries + 1
            if interrupted >= MOST_INTERRUPTED:
                return Past(f"as {interrupted} deploys of it were interrupted", tries)
        elif attempt.result == "failed" and attempt.stage in AGAIN and attempt.kind == "deploy":
            tries += 1
        elif attempt.result in ("failed", "interrupted"):
            how = "failed" if attempt.result == "failed" else "was interrupted"
            return Past(f"since its {attempt.kind} {how} in the stage {attempt.stage}", tries)
        elif attempt.result == "cancelled":
            return Past(f"since its {attempt.kind} was cancelled", tries)
    if not tries and state.previous and state.previous.commit == commit:
        return Past("since the rollback")  # The history was lost, and this is what it most likely was.
    return Past("", tries, known=tries > 0)


def _since(replaced: Attempt | None) -> str:
    """Why a commit that was live is not deployed again. `replaced` made another commit live in its place."""
    if replaced is None:
        return "since another version replaced it"
    if replaced.kind == "rollback":
        return "since the rollback"
    if replaced.trigger == FOLLOW:
        return ""  # The branch moved on, and has come back.
    return f"since {short(replaced.commit)} was deployed in its place"


def wait_s(every_s: float, failures: int, longest_s: float) -> float:
    """The time to the next try after so many failures in a row: twice as long each time."""
    return min(every_s * 2.0 ** min(failures - 1, 30), max(longest_s, every_s))
