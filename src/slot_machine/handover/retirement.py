"""When a version that was replaced has nothing left to do. The kernel does not tell, so it is asked."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from slot_machine.handover import connections
from slot_machine.handover.apps import App

SETTLE_S = 1.0
"""The longest wait for handshakes that had begun before."""
FIRST_INTERVAL_S, LONGEST_INTERVAL_S = 0.002, 0.1


async def drained(app: App) -> None:
    """Waits until its last connection has ended. Raises OSError."""
    begun = _handshakes(app)
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            await _once(lambda: begun.isdisjoint(_handshakes(app)))
    await _twice(lambda: not _is_busy(app))


def _handshakes(app: App) -> set[bytes]:
    return {ends for port in app.ports for ends in connections.handshakes(port)}


def _is_busy(app: App) -> bool:
    """In the order in which a connection goes on, so that none slips through."""
    return any(connections.accept_queue(listener.socket) for listener in app.listeners) or any(
        connections.carries_any(app.leader, port) for port in app.ports
    )


async def _once(condition: Callable[[], bool]) -> None:
    interval_s = FIRST_INTERVAL_S
    while not condition():
        await asyncio.sleep(interval_s)
        interval_s = min(interval_s * 1.5, LONGEST_INTERVAL_S)


async def _twice(condition: Callable[[], bool]) -> None:
    """True twice in a row: for an instant, a connection is in no queue any more and in no process yet."""
    again = False
    while not again:
        await _once(condition)
        await asyncio.sleep(FIRST_INTERVAL_S)
        again = condition()
