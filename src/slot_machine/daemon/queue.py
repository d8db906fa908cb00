"""A deploy that waits until another one has ended. Its place belongs to the connection of its client."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Literal

import msgspec

from slot_machine.app.operations import Operations
from slot_machine.core.errors import Refused
from slot_machine.core.model import Progress
from slot_machine.daemon.connection import Request

STAGE = "wait"


async def turn(operations: Operations, request: Request) -> None:
    """Raises Overtaken, Stopping, and ConnectionError when the client has left."""
    left = asyncio.ensure_future(request.left())
    try:
        await operations.turn(left)
    finally:
        left.cancel()


async def stream(
    operations: Operations,
    request: Request,
    refused: Callable[[Refused], bytes],
    begin: Callable[[], AsyncGenerator[bytes, None]],
) -> AsyncGenerator[bytes, None]:
    """The lines while it waits, then those of `begin`, which begins the deploy when it is called.

    Raises ConnectionError when the client has left.
    """
    began_s = time.monotonic()

    def line(event: Literal["started", "finished", "failed"], message: str = "") -> bytes:
        seconds = round(time.monotonic() - began_s, 4)
        return msgspec.json.encode(Progress(event=event, stage=STAGE, message=message, seconds=seconds)) + b"\n"

    yield line("started", f"until this has ended: {operations.what_runs}")
    try:
        await turn(operations, request)
    except Refused as refusal:
        yield line("failed") + refused(refusal)
        return
    progress = begin()
    yield line("finished")
    async for lines in progress:
        yield lines
