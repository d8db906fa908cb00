"""The time of this machine's clock, as texts have it."""

from datetime import UTC, datetime

from slot_machine.core.model import rfc3339


def now() -> str:
    """RFC 3339, in UTC."""
    return rfc3339(datetime.now(UTC))
