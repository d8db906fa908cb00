"""How requests reach the app: what the deployer needs of the data plane, and of the handover with `--no-proxy`."""

import asyncio
from contextlib import suppress
from typing import Protocol

from slot_machine.core.upstream import Beside, Counts, Upstream


class Traffic(Protocol):
    """Each call is in force when it returns."""

    async def route(self, upstream: Upstream | None, ready: Upstream | None = None, /) -> Counts | None:
        """Sends new requests, and held ones, to `upstream`. With None, the proxy answers 503.

        From the same step on, `ready` is beside it, and stands in for it. Without that, what was beside the live
        version stays there, unless it is `upstream` itself.

        The counts say how many were held. With `--no-proxy` nobody answers 503: the app owns its port.
        """

    async def offer(self, beside: Beside | None, /) -> None:
        """Lets an upstream run beside the live one, which gets some requests by its rules. None: no longer."""

    async def hold(self, limit_s: float, /) -> None:
        """Lets new requests wait for the next `route`, for `limit_s` at most."""

    async def drained(self, upstream: Upstream, /) -> None:
        """Waits until no request of `upstream` is in flight."""

    async def unwind(self, upstream: Upstream, over_s: float, /) -> None:
        """Begins to end the WebSockets and event streams of an upstream that is about to stop."""

    async def keep(self) -> None:
        """Replaces workers, or the keeper, when they end. Runs until they are stopped, or until it is cancelled."""

    async def forget(self, upstream: Upstream, /) -> Counts | None:
        """Ends the requests that are left of an upstream whose processes are gone. Returns None if nobody counted."""


async def drained_within(traffic: Traffic, upstream: Upstream, limit_s: float) -> bool:
    """Whether the requests in flight finished within `limit_s`."""
    try:
        async with asyncio.timeout(limit_s):
            await traffic.drained(upstream)
    except TimeoutError:
        return False
    return True


async def unwinding_within(traffic: Traffic, upstream: Upstream, over_s: float, limit_s: float) -> None:
    """Waits at most `limit_s` for `unwind`: a worker that hangs must not take the time that a version has to end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await traffic.unwind(upstream, over_s)
