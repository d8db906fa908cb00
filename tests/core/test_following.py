"""What the history says of a commit that a followed branch has: a table of histories, the latest entry last."""

import pytest

from slot_machine.core.following import MOST_INTERRUPTED, past_of, wait_s
from slot_machine.core.model import Attempt, Kind, Result, State, Version

NEW, OLD, OTHER = "c" * 40, "b" * 40, "d" * 40
SWITCHED = {"switch": 0.1}


def entry(kind: Kind, commit: str, result: Result = "succeeded", stage: str = "drain", trigger: str = "cli") -> Attempt:
    return Attempt(
        id=1,
        kind=kind,
        trigger=trigger,
        commit=commit,
        started_at="",
        stage=stage,
        result=result,
        stage_seconds=SWITCHED if stage == "drain" else {},
    )


def deploy(commit: str, result: Result = "succeeded", stage: str = "drain", trigger: str = "follow") -> Attempt:
    return entry("deploy", commit, result, stage, trigger)


LIVE = State(Version("a", OLD))
ROLLED_BACK = "since the rollback"

TAKEN_BACK = {
    "rolled back": ([deploy(OLD), deploy(NEW), entry("rollback", OLD)], ROLLED_BACK),
    "rolled back, and restarted since": (
        [deploy(NEW), entry("rollback", OLD), entry("restart", OLD), entry("recovery", OLD)],
        ROLLED_BACK,
    ),
    "restarted in vain, then rolled back": (
        [deploy(NEW), entry("restart", NEW, "failed", "health"), entry("rollback", OLD)],
        ROLLED_BACK,
    ),
    "recovered, then rolled back": ([deploy(NEW), entry("recovery", NEW), entry("rollback", OLD)], ROLLED_BACK),
    "promoted, then rolled back": (
        [deploy(NEW, "held", "held"), entry("promote", NEW), entry("rollback", OLD)],
        ROLLED_BACK,
    ),
    "rolled back, and its deploy failed since": (
        [deploy(NEW), entry("rollback", OLD), deploy(NEW, "failed", "setup", "cli")],
        ROLLED_BACK,
    ),
    "replaced by hand": ([deploy(NEW), deploy(OTHER, trigger="cli")], f"since {OTHER[:8]} was deployed in its place"),
    "failed in health": ([deploy(OLD), deploy(NEW, "failed", "health")], "since its deploy failed in the stage health"),
    "failed in rehearse": ([deploy(NEW, "failed", "rehearse")], "since its deploy failed in the stage rehearse"),
    "failed in release": ([deploy(NEW, "failed", "release")], "since its deploy failed in the stage release"),
    "failed in watch": ([deploy(NEW, "failed", "watch")], "since its deploy failed in the stage watch"),
    "failed in the watch of a share": (
        [deploy(NEW, "held", "held"), entry("promote", NEW, "failed", "watch")],
        "since its promote failed in the stage watch",
    ),
    "failed long ago": ([deploy(NEW, "failed", "watch"), entry("restart", OLD)], "since its deploy failed in the"),
    "killed in release": (
        [deploy(NEW, "interrupted", "release")],
        "since its deploy was interrupted in the stage release",
    ),
    "killed while it was taken back": (
        [deploy(NEW, "interrupted", "watch")],
        "since its deploy was interrupted in the stage watch",
    ),
    "promoted, and killed while it was taken back": (
        [deploy(NEW, stage="health"), entry("promote", NEW, "interrupted", "watch")],
        "since its promote was interrupted in the stage watch",
    ),
    "held until the daemon ended": (
        [deploy(NEW, "interrupted", "held", "cli")],
        "since its deploy was interrupted in the stage held",
    ),
    "cancelled": ([deploy(NEW, "cancelled", "build")], "since its deploy was cancelled"),
    "killed again and again": (
        [deploy(NEW, "interrupted", "health")] * MOST_INTERRUPTED,
        f"as {MOST_INTERRUPTED} deploys of it were interrupted",
    ),
}

DEPLOYED = {
    "new": ([deploy(OLD)], 0),
    "failed in setup": ([deploy(NEW, "failed", "setup")], 1),
    "failed in setup, in build and in checkout": (
        [deploy(NEW, "failed", stage) for stage in ("setup", "build", "checkout")],
        3,
    ),
    "killed": ([deploy(NEW, "interrupted", "health")], 1),
    "came back after the branch moved on": ([deploy(NEW), deploy(OTHER)], 0),
}


@pytest.mark.parametrize(("history", "reason"), TAKEN_BACK.values(), ids=TAKEN_BACK)
def test_commit_is_left_out(history: list[Attempt], reason: str) -> None:
    past = past_of(NEW, LIVE, history[::-1])

    assert past.left_out.startswith(reason)


@pytest.mark.parametrize(("history", "tries"), DEPLOYED.values(), ids=DEPLOYED)
def test_commit_may_be_deployed(history: list[Attempt], tries: int) -> None:
    past = past_of(NEW, LIVE, history[::-1])

    assert (past.left_out, past.tries) == ("", tries)


def test_previous_version_is_left_out_though_the_history_is_lost() -> None:
    assert past_of(NEW, State(Version("a", OLD), Version("b", NEW)), []).left_out == ROLLED_BACK


def test_commit_without_a_history_is_not_known() -> None:
    assert not past_of(NEW, LIVE, []).known
    assert not past_of(NEW, LIVE, [deploy(OLD)]).known
    assert past_of(NEW, LIVE, [deploy(NEW), deploy(OTHER)]).known


def test_each_wait_is_twice_as_long_up_to_a_limit() -> None:
    assert [wait_s(60, failures, 3600) for failures in (1, 2, 3, 7, 1000)] == [60, 120, 240, 3600, 3600]
    assert wait_s(7200, 5, 3600) == 7200
