"""The time of this machine's clock, as texts have it, and the time by which waits are measured."""

import asyncio
from datetime import UTC, datetime

from slot_machine.core.model import rfc3339


def now() -> str:
    """RFC 3339, in UTC."""
    return rfc3339(datetime.now(UTC))


def age_s(moment: str) -> float:
    """Of an RFC 3339 time; negative if the clock was set back since."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def monotonic_s() -> float:
    """By the monotonic clock, as each event loop of ours measures time. All daemons share it until the next boot."""
    return asyncio.get_running_loop().time()
