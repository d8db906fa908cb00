"""Blocking work, done in a thread."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from slot_machine.host.user import rights

Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result]) -> Result:
    """Runs `work` in a thread, with the file access rights of `user`.

    If it is cancelled, it first waits for the thread: whatever follows must not run beside it.
    """
    running = asyncio.ensure_future(asyncio.to_thread(rights.acting()(work)))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
