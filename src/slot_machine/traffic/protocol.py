"""How requests reach the app: what the deployer needs of the proxy, and of the handover under `--no-proxy`."""

import asyncio
from contextlib import suppress
from typing import Protocol

from slot_machine.core.upstream import Counts, Upstream


class Traffic(Protocol):
    """Each call is in force when it returns."""

    async def route(self, upstream: Upstream | None, /) -> Counts | None:
        """Sends every new request to `upstream`, and those held before; with none, they are answered 503.

        The counts say how many were held. Under `--no-proxy` there is no one to answer 503: the app's port is its own.
        """

    async def hold(self) -> None:
        """Lets new requests wait for the next `route`."""

    async def drained(self, upstream: Upstream, /) -> None:
        """Waits until no request of `upstream` is in flight."""

    async def unwind(self, upstream: Upstream, over_s: float, /) -> None:
        """Begins to end the WebSockets and event streams of an upstream that is about to stop."""

    async def keep(self) -> None:
        """Starts again what ends of the processes behind it. Runs until they are stopped, or it is cancelled."""

    async def forget(self, upstream: Upstream, /) -> Counts | None:
        """Cuts what is left of an upstream whose processes are gone. None: nobody counted."""


async def drained_within(traffic: Traffic, upstream: Upstream, limit_s: float) -> bool:
    """Whether the requests in flight finished in time."""
    try:
        async with asyncio.timeout(limit_s):
            await traffic.drained(upstream)
    except TimeoutError:
        return False
    return True


async def unwinding_within(traffic: Traffic, upstream: Upstream, over_s: float, limit_s: float) -> None:
    """Waits no longer than that for `unwind` to begin: what hangs must not cost a version its time to end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await traffic.unwind(upstream, over_s)
