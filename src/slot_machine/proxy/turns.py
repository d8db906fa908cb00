"""What one connection may take of a turn of the event loop, before others have theirs."""

import asyncio
from collections.abc import Callable

MOST_BYTES_A_TURN = 65_536
"""uvloop would go on reading, up to 8 MB in one turn."""


def end_turn(transport: asyncio.Transport, nbytes: int, waits: Callable[[], bool]) -> None:
    """If these were many, it is read on in the next turn, unless it `waits` for the other side by then."""
    if nbytes > MOST_BYTES_A_TURN and not transport.is_closing():
        transport.pause_reading()
        asyncio.get_running_loop().call_soon(_read_on, transport, waits)


def _read_on(transport: asyncio.Transport, waits: Callable[[], bool]) -> None:
    if not waits() and not transport.is_closing():
        transport.resume_reading()
