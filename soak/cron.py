"""Checks that the job that is due each minute ran each minute, once, as the history has it."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tests.world import Site

from soak import journal

JOB = "minute"
SCHEDULE = "* * * * *"
MINUTE = timedelta(minutes=1)
LATEST = timedelta(seconds=55)
"""A run that a switch or a restart holds up starts within this time, and belongs to its minute."""


def rows(site: Site) -> list[dict[str, object]]:
    return [row for row in site.history() if row["kind"] == "job"]


def results(site: Site) -> list[tuple[str, object]]:
    return [
        (f"job: {result}", count) for result, count in sorted(Counter(str(r["result"]) for r in rows(site)).items())
    ]


def problems(site: Site, since: datetime, until: datetime) -> Iterator[str]:
    """For a daemon that has stopped. The job was known, and the daemon ran, from `since` to `until`."""
    found = rows(site)
    yield from (f"job: {row}" for row in found if row["result"] not in ("succeeded", "missed", "interrupted"))
    began = [_time(str(row["started_at"])) for row in found if row["result"] != "missed"]
    missed = {_time(said) for row in found for said in re.findall(r"due at (\S+?Z)", str(row["error"]))}
    minutes = Counter(time.replace(second=0, microsecond=0) for time in began)
    yield from (f"{count} runs of the job in the minute {minute}" for minute, count in minutes.items() if count > 1)
    due = since.replace(second=0, microsecond=0) + MINUTE
    while due + LATEST < until:
        if due not in missed and not any(due <= time < due + LATEST for time in began):
            yield f"no run of the job that was due at {due}"
        due += MINUTE
    starts = [entry for entry in journal.read(site) if (entry.role, entry.event) == ("job", "start")]
    succeeded = sum(row["result"] == "succeeded" for row in found)
    if not succeeded <= len(starts) <= len(began):
        yield f"the job started {len(starts)} times; in the history, {len(began)} runs began, {succeeded} succeeded"


def now() -> datetime:
    return datetime.now(UTC)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
