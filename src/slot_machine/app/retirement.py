"""How a release, or only its web run, is drained and stopped."""

import time
from typing import NamedTuple

from slot_machine.app.release import Release
from slot_machine.app.run import Run
from slot_machine.core.upstream import Counts, Upstream
from slot_machine.traffic.protocol import Traffic, drained_within, unwinding_within


class Retired(NamedTuple):
    """`drained`: no request was left at half of the budget. `killed`: a process needed SIGKILL."""

    drained: bool
    killed: bool
    counts: Counts | None
    """None under `--no-proxy`, where nobody counts requests."""


async def retire(traffic: Traffic, what: Release | Run, budget_s: float) -> Retired:
    """Lets the requests in flight finish, then stops `what`, which must get no new ones.

    SIGTERM comes when half of the budget is left, at the latest; WebSockets and event streams, which never finish, are
    ended in that half. If this is cancelled before SIGTERM, `what` runs on.
    """
    ends_s = time.monotonic() + budget_s
    assert what.upstream is not None
    try:
        drained = await _drained(traffic, what.upstream, budget_s)
    except Exception:
        await _ended(traffic, what, what.upstream, ends_s)
        raise
    killed, counts = await _ended(traffic, what, what.upstream, ends_s)
    return Retired(drained, killed, counts)


async def _drained(traffic: Traffic, upstream: Upstream, budget_s: float) -> bool:
    """Whether its requests ended in half of the budget."""
    began_s = time.monotonic()
    if await drained_within(traffic, upstream, budget_s / 2):
        return True
    left_s = budget_s - (time.monotonic() - began_s)
    await unwinding_within(traffic, upstream, left_s, left_s / 2)
    return False


async def _ended(
    traffic: Traffic, what: Release | Run, upstream: Upstream, ends_s: float
) -> tuple[bool, Counts | None]:
    """Whether that took a SIGKILL, and the counts."""
    try:
        killed = await what.stop(ends_s - time.monotonic())
    finally:
        counts = await traffic.forget(upstream)
    return killed, counts
