"""A schedule as a CronJob takes it."""

from datetime import UTC, datetime

from cronsim import CronSim

from slot_machine.core.schedule import NAMED


class NotThere(ValueError):
    """Kubernetes has no such schedules. The message says which part it is."""


def of_cron_job(text: str) -> str:
    """`text` is a valid schedule of ours. Sunday is 0 on Kubernetes, and can't be 7. Raises NotThere."""
    whole = NAMED.get(text.strip().lower(), text)
    minute, hour, day, month, weekday = whole.split()
    read = CronSim(whole, datetime(2000, 1, 1, tzinfo=UTC))
    if not read.days <= set(range(1, 32)):
        raise NotThere(day)
    if not weekday.startswith("*"):
        days = sorted({number % 7 for number in read.weekdays if isinstance(number, int)})
        if any(not isinstance(number, int) for number in read.weekdays):
            raise NotThere(weekday)
        weekday = ",".join(map(str, days))
    return " ".join((minute, hour, day, month, weekday))
