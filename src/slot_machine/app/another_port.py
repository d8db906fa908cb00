"""Starts the app again on another port, if another program has taken the port that was drawn for it."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from slot_machine.app.clock import monotonic_s
from slot_machine.core.errors import PortTaken
from slot_machine.core.model import Version

STARTS = 3
"""The first one included."""

OnTaken = Callable[[str], None]
"""Called before another start, with a warning that tells what has happened to the one before."""

Started = TypeVar("Started")

log = logging.getLogger(__name__)


async def started(start: Callable[[], Awaitable[Started]], version: Version, on_taken: OnTaken) -> Started:
    """Calls `start`, and again if its port is taken. Each call draws a port. Raises what the last one raises.

    No start begins later than `health_timeout_ms` after the first one, so that they have an end (`longest_s`).
    """
    began_s = monotonic_s()
    for number in range(1, STARTS + 1):
        try:
            return await start()
        except PortTaken as taken:
            if number == STARTS or monotonic_s() - began_s >= version.config.health_timeout_s:
                raise
            words = f"{taken}; the app is started again on another port"
        on_taken(words)
    raise AssertionError("the last start returns or raises")


def log_it(words: str) -> None:
    log.warning("%s", words)


def longest_s(version: Version) -> float:
    """How long all starts may take."""
    return 2 * version.config.health_timeout_s
