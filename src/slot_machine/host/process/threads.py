"""Work that would block the loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from slot_machine.host.user import rights

Result = TypeVar("Result")


async def finished(work: Callable[[], Result]) -> Result:
    """Runs it in a thread, whose file accesses are those of `user`.

    A cancellation waits for its end: nothing goes on behind the back of what comes next.
    """
    running = asyncio.ensure_future(asyncio.to_thread(rights.acting()(work)))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
