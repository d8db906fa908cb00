"""Times that people give: `10m` ago, or RFC 3339."""

import re
from datetime import UTC, datetime, timedelta

AGO = re.compile(r"([0-9]{1,6})([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
EXAMPLES = "10m, 2h, 7d, or a time such as 2026-01-31T08:00:00Z"


def since(text: str, now: datetime) -> datetime:
    """In UTC. A time without a zone is in that of `now`. Raises ValueError."""
    try:
        if ago := AGO.fullmatch(text):
            return now.astimezone(UTC) - timedelta(seconds=int(ago[1]) * SECONDS[ago[2]])
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; write {EXAMPLES}") from None
