"""Keeps the connection of a client that follows a stage in which nothing is printed: routers drop idle ones."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

ALIVE_S = 15.0
SPACE = b" "
"""Before an object of JSON it means nothing (RFC 8259, section 2), so no client has to know of it."""


async def kept_alive(lines: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same pieces, each of which ends a line; and a space after each ALIVE_S without one."""
    following: asyncio.Future[bytes] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(lines))
            while not (await asyncio.wait({following}, timeout=ALIVE_S))[0]:
                yield SPACE
            try:
                yield following.result()
            except StopAsyncIteration:
                return
    finally:
        if following and not following.done():
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
        await lines.aclose()
