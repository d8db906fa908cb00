"""How often each name got a certificate in the last week: an authority refuses more than five, for a week."""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from slot_machine.edge.folder import write

WEEK = timedelta(days=7)
MOST = 4
"""One less than Let's Encrypt allows, so that a person can still order one."""


class Issued:
    """Kept beside the storage, so a storage that is lost again and again is no reason to order again and again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._times: dict[str, list[datetime]] = {}
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            self._times = msgspec.json.decode(path.read_bytes(), type=dict[str, list[datetime]])

    def note(self, names: Iterable[str], now: datetime) -> None:
        """Raises OSError."""
        for name in names:
            self._times.setdefault(name, []).append(now)
        recent = {name: [each for each in times if each > now - WEEK] for name, times in self._times.items()}
        self._times = {name: times for name, times in recent.items() if times}
        write(self._path, msgspec.json.encode(self._times))

    def obstacle(self, name: str) -> str:
        """Why the name should not be ordered now; empty if nothing speaks against it."""
        now = datetime.now(UTC)
        recent = [each for each in self._times.get(name, ()) if each > now - WEEK]
        if len(recent) < MOST:
            return ""
        again = (min(recent) + WEEK).strftime("%Y-%m-%d %H:%M")
        return (
            f"{name} got {len(recent)} certificates in 7 days, which were lost: the next one is ordered at {again} UTC"
        )
