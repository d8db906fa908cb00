"""How requests reach the app: what the deployer needs of the proxy, and what stands in for it where there is none."""

import asyncio
from typing import Protocol

from slot_machine.core.upstream import Counts, Upstream


class Traffic(Protocol):
    """Each call is in force when it returns."""

    async def route(self, upstream: Upstream | None, /) -> Counts | None:
        """Sends every new request to `upstream`, and those held before; with none, they are answered 503.

        The counts say how many were held.
        """

    async def hold(self) -> None:
        """Lets new requests wait for the next `route`."""

    async def drained(self, upstream: Upstream, /) -> None:
        """Waits until no request of `upstream` is in flight."""

    async def unwind(self, upstream: Upstream, over_s: float, /) -> None:
        """Begins to end the WebSockets and event streams of an upstream that is about to stop."""

    async def forget(self, upstream: Upstream, /) -> Counts | None:
        """Cuts what is left of an upstream whose processes are gone. None: nobody counted."""


class Direct:
    """`--no-proxy`: the app owns its port and finishes its requests on SIGTERM by itself."""

    async def route(self, _: Upstream | None, /) -> None:
        return None

    async def hold(self) -> None:
        pass

    async def drained(self, _: Upstream, /) -> None:
        pass

    async def unwind(self, _: Upstream, over_s: float, /) -> None:
        pass

    async def forget(self, _: Upstream, /) -> None:
        return None


async def drained_within(traffic: Traffic, upstream: Upstream, limit_s: float) -> bool:
    """Whether the requests in flight finished in time."""
    try:
        async with asyncio.timeout(limit_s):
            await traffic.drained(upstream)
    except TimeoutError:
        return False
    return True
