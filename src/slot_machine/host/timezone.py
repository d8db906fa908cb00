"""The time zone in which jobs are scheduled."""

import logging
import os
from pathlib import Path
from zoneinfo import ZoneInfo

from slot_machine.core.errors import ConfigError

MACHINE = Path("/etc/localtime")
"""See localtime(5)."""

log = logging.getLogger(__name__)


def find(name: str | None) -> ZoneInfo:
    """The zone called `name`, else that of the variable TZ, else that of the machine. Raises ConfigError."""
    if name:
        try:
            return ZoneInfo(name)
        except (LookupError, ValueError, OSError):
            what = f"cron_timezone: this machine knows no time zone {name!r}"
            raise ConfigError(what, "write one as in Europe/Zurich; the system's package tzdata has them") from None
    if variable := os.environ.get("TZ", "").removeprefix(":"):
        try:
            return _in_file(Path(variable)) if variable.startswith("/") else ZoneInfo(variable)
        except (LookupError, ValueError, OSError):
            log.warning("TZ=%s names no time zone, so jobs are due by the machine's: set cron_timezone", variable)
    return _machines()


def _machines() -> ZoneInfo:
    """UTC if the machine has none."""
    try:
        return _in_file(MACHINE)
    except (ValueError, OSError):
        return ZoneInfo("UTC")


def _in_file(path: Path) -> ZoneInfo:
    """Raises OSError, ValueError."""
    with path.open("rb") as file:
        return ZoneInfo.from_file(file, key=str(path))
