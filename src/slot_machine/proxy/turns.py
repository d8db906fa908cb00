"""How much one connection may read in an iteration of the event loop, so that others are served, too."""

import asyncio
from collections.abc import Callable

MOST_BYTES_A_TURN = 65_536
"""uvloop itself reads up to 8 MB in one iteration."""


def end_turn(transport: asyncio.Transport, nbytes: int, waits: Callable[[], bool]) -> None:
    """After many bytes, pauses reading until the next iteration; for longer if it `waits` for the other side then."""
    if nbytes > MOST_BYTES_A_TURN and not transport.is_closing():
        transport.pause_reading()
        asyncio.get_running_loop().call_soon(_read_on, transport, waits)


def _read_on(transport: asyncio.Transport, waits: Callable[[], bool]) -> None:
    if not waits() and not transport.is_closing():
        transport.resume_reading()
