"""Waits until a version that was replaced has no connections. The kernel sends no event for that, so this polls."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from slot_machine.core.backoff import growing
from slot_machine.handover import connections
from slot_machine.handover.apps import App

SETTLE_S = 1.0
"""The longest wait for handshakes that began before the switch."""
FIRST_INTERVAL_S, LONGEST_INTERVAL_S = 0.002, 0.1


async def drained(app: App) -> None:
    """Waits until the last connection has ended. Raises OSError."""
    begun = _handshakes(app)
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            await _once(lambda: begun.isdisjoint(_handshakes(app)))
    await _twice(lambda: not _is_busy(app))


def _handshakes(app: App) -> set[bytes]:
    return {ends for port in app.ports for ends in connections.handshakes(port)}


def _is_busy(app: App) -> bool:
    """Looks at the accept queues first, then at the processes: a connection moves in this direction."""
    return any(connections.accept_queue(listener.socket) for listener in app.listeners) or any(
        connections.carries_any(app.leader, port) for port in app.ports
    )


async def _once(condition: Callable[[], bool]) -> None:
    for interval_s in growing(FIRST_INTERVAL_S, LONGEST_INTERVAL_S):
        if condition():
            return
        await asyncio.sleep(interval_s)


async def _twice(condition: Callable[[], bool]) -> None:
    """Waits until it is true twice in a row: for an instant, `accept` has a connection in neither place."""
    again = False
    while not again:
        await _once(condition)
        await asyncio.sleep(FIRST_INTERVAL_S)
        again = condition()
