"""When a job is due: the schedules of crontab(5), also across changes of the clocks.

Clocks change by the rule of Debian's cron(8), "Notes". A job with fixed times runs once: at the first of two equal
times, or right after the hour that was left out. A job whose minute or hour begins with `*` runs at the same intervals
as on other days.
"""

from datetime import UTC, datetime, tzinfo

from cronsim import CronSim, CronSimError

NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = 5
ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class BadSchedule(ValueError):
    """Says what is wrong."""


class Schedule:
    def __init__(self, text: str) -> None:
        """Raises BadSchedule, also for a schedule that is never due."""
        self._text = NAMED.get(text.strip().lower(), text)
        if len(self._text.split()) != FIELDS:
            raise BadSchedule('expected five fields, such as "0 3 * * *", or a name such as "@daily"')
        try:
            due = next(CronSim(self._text, ANY_TIME), None)
        except (CronSimError, ValueError) as error:
            raise BadSchedule(f"{str(error).lower()} in {text!r}") from None
        if due is None:
            raise BadSchedule(f"{text!r} is never due")
        minute, hour, *_ = self._text.split()
        self.by_interval = minute.startswith("*") or hour.startswith("*")

    def next_after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first time after `moment` at which it is due in `zone`; None if that is not within 50 years. In UTC."""
        for due in CronSim(self._text, moment.astimezone(zone)):
            # In the second of two equal hours, the library begins with the first one.
            if (due_utc := due.astimezone(UTC)) > moment:
                return due_utc
        return None

    def times(self, after: datetime, until: datetime, zone: tzinfo, most: int) -> list[datetime]:
        """When it is due in this span, `until` included. Returns no more than the first `most` times."""
        found: list[datetime] = []
        due = self.next_after(after, zone)
        while due and due <= until and len(found) < most:
            found.append(due)
            due = self.next_after(due, zone)
        return found
