"""Which of its times a job has dealt with, and which one it waits for."""

from datetime import datetime, timedelta, tzinfo

from slot_machine.core.schedule import Schedule
from slot_machine.core.version_config import Job

ON_TIME = timedelta(seconds=60)
"""A time that is noticed later than this was missed: the daemon did not run, or the machine slept."""

SET_BACK = timedelta(hours=3)
SET_BACK_OF_INTERVALS = timedelta(minutes=1)
"""If the clock of the machine was set back by more than this, the job follows the new time. If it was set back by less,
a job with fixed times does not run a second time.
"""

MOST = 1000
"""Times that are counted of those that were missed."""

SHORTEST = timedelta(milliseconds=1)


class Entry:
    """One job of the live version. `waiting` is a time that was noticed, for which the job has not started yet.

    All times are in UTC.
    """

    def __init__(self, job: Job, zone: tzinfo, handled_until: datetime) -> None:
        self.job = job
        self.waiting: datetime | None = None
        self.told_overdue = False
        self.handled_until = handled_until
        self._zone = zone
        self._schedule = Schedule(job.schedule)
        self._next = self._schedule.next_after(handled_until, zone)

    @property
    def next(self) -> datetime | None:
        """None if it is not due within 50 years."""
        return self.waiting or self._next

    @property
    def followed(self) -> str:
        """If this changes, earlier times are no longer those of the schedule."""
        return f"{self.job.schedule} ({self._zone})"

    def is_overdue(self, now: datetime) -> bool:
        return self.waiting is not None and now - self.waiting > ON_TIME

    def handled(self, until: datetime) -> None:
        """The times until then are dealt with."""
        if self.waiting and self.waiting <= until:
            self.waiting = None
            self.told_overdue = False
        self.handled_until = until
        self._next = self._schedule.next_after(until, self._zone)

    def look(self, now: datetime) -> list[datetime]:
        """Notices a time that has come. Returns those that were missed, until they are `handled`."""
        set_back = SET_BACK_OF_INTERVALS if self._schedule.by_interval else SET_BACK
        if self.handled_until - now > set_back:
            self.handled(now)
        if not self._next or self._next > now:
            return []
        if not self.waiting:
            due = self._schedule.next_after(max(self.handled_until, now - ON_TIME), self._zone)
            self.waiting = due if due and due <= now else None
        return self._schedule.times(self.handled_until, self.missed_until(now), self._zone, MOST)

    def missed_until(self, now: datetime) -> datetime:
        return self.waiting - SHORTEST if self.waiting else now
