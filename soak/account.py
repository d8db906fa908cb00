"""The report: Markdown tables, the problems, and whether the soak passed."""

from collections import Counter
from datetime import datetime
from statistics import median
from typing import NamedTuple

from spec.waiting import wait_until
from tests.world import Site

from soak import census, checks, cron, data, journal
from soak.load import CLIENTS, Load
from soak.outages import Failure, Kill, attributed
from soak.sequence import Sequence

SPARE_FDS = 16
SPARE_MB = 30


class Sample(NamedTuple):
    """Memory and file descriptors of the daemon and of the largest worker. `daemon_mb` is 0 while no daemon runs."""

    daemon_mb: float
    daemon_fds: int
    worker_mb: float
    worker_fds: int


class Samples:
    """Samples without load, at the begin and at the end, and samples under load, after each step."""

    def __init__(self, site: Site) -> None:
        self.at_rest: list[Sample] = []
        self.under_load: list[Sample] = []
        self._site = site

    def idle(self) -> None:
        most = self.at_rest[0].worker_fds + SPARE_FDS if self.at_rest else SPARE_FDS + 64
        wait_until("the workers have closed their clients' connections", lambda: self._take().worker_fds <= most, 90)
        self.at_rest.append(self._take())

    def loaded(self) -> None:
        self.under_load.append(self._take())

    def grown(self) -> list[str]:
        """What grew beyond its limit. Compares samples without load, because a worker's size depends on its clients."""
        first, last = self.at_rest[0], self.at_rest[-1]
        limit = Sample(
            first.daemon_mb + SPARE_MB,
            first.daemon_fds + SPARE_FDS,
            first.worker_mb + SPARE_MB,
            first.worker_fds + SPARE_FDS,
        )
        return [
            f"{field} grew from {begin:.1f} to {end:.1f}"
            for field, begin, end, most in zip(Sample._fields, first, last, limit, strict=True)
            if end > most
        ]

    def _take(self) -> Sample:
        daemon = self._site.daemons[-1].process.pid
        workers = census.workers(self._site)
        return Sample(
            census.resident_mb(daemon),
            census.open_fds(daemon),
            max(map(census.resident_mb, workers), default=0),
            max(map(census.open_fds, workers), default=0),
        )


class Soak(NamedTuple):
    seed: int
    minutes: float
    load: Load
    sequence: Sequence
    samples: Samples
    since: datetime
    until: datetime
    """A daemon ran from `since` to `until`, apart from kills."""
    exit_code: int
    """Exit code of the last daemon."""


def give(site: Site, soak: Soak) -> int:
    """Prints the report and returns the exit code of the soak."""
    by_kill, unexcused = attributed(soak.load.failures, soak.sequence.killer.kills)
    excused = Counter(kill.what for kill, failures in by_kill for _ in failures)
    left = checks.leftovers(site)
    problems = [*soak.sequence.problems, *soak.sequence.killer.too_long, *soak.samples.grown()]
    problems += [*journal.problems(site), *journal.unended(site), *cron.problems(site, soak.since, soak.until)]
    problems += data.lost(site, soak.load.acknowledged)
    problems += [f"{kill} failed {len(failures)} requests" for kill, failures in by_kill if _too_many(kill, failures)]
    problems += _alike(unexcused)
    problems += [f"left over, {what}: {found}" for what, found in left.items() if found]
    if soak.exit_code:
        problems.append(f"the daemon's exit code is {soak.exit_code}")
    tables = [
        ("requests", _requests(soak.load, excused, len(unexcused))),
        ("what was done", _outcomes(soak.sequence)),
        ("kills", _kills(soak.sequence, excused)),
        ("beside the web process", [*journal.counts(site), *cron.results(site)]),
        ("at the end", _end(soak, left, len(problems))),
    ]
    text = f"seed {soak.seed}, {soak.minutes:g} minutes\n" + "".join(_table(*table) for table in tables)
    print(text, *soak.sequence.killer.kills, *problems, sep="\n")
    return 1 if problems else 0


def _too_many(kill: Kill, failures: list[Failure]) -> bool:
    """A kill of a worker costs each client at most the one request that was in flight."""
    return kill.what == "worker" and len(failures) > CLIENTS


def _alike(failures: list[Failure]) -> list[str]:
    """One line for all requests that failed in the same way within the same second."""
    groups: dict[tuple[int, str, int], list[Failure]] = {}
    for failure in failures:
        groups.setdefault((failure.status, failure.error, int(failure.ended_s)), []).append(failure)
    return [f"unexcused, {len(group)} of these: {group[0]}" for group in groups.values()]


def _table(title: str, rows: list[tuple[str, object]]) -> str:
    return f"\n| {title} | |\n| --- | ---: |\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)


def _requests(load: Load, excused: Counter[str], unexcused: int) -> list[tuple[str, object]]:
    return [
        *sorted(load.requests.items()),
        ("all, each reply checked", load.requests.total()),
        ("writes that were acknowledged, each found at the end", len(load.acknowledged)),
        ("writes that the app refused, on a full disk", load.writes_refused),
        ("event streams ended early, in whole events, by a switch", load.streams_ended_early),
        *((f"failed, excused by a kill of {part}", count) for part, count in sorted(excused.items())),
        ("failed otherwise", unexcused),
    ]


def _outcomes(sequence: Sequence) -> list[tuple[str, object]]:
    return [
        *((f"{kind}: {outcome}", count) for (kind, outcome), count in sorted(sequence.outcomes.items())),
        *((f"steps with {settings}", count) for settings, count in sorted(sequence.settings.items())),
    ]


def _kills(sequence: Sequence, excused: Counter[str]) -> list[tuple[str, object]]:
    kills = sequence.killer.kills
    return [
        *((f"steps with {kind}", count) for kind, count in sorted(sequence.kills.items())),
        (
            "a daemon's start after a kill: median, longest",
            f"{median(sequence.starts_s):.2f} s, {max(sequence.starts_s):.2f} s",
        ),
        *((f"outage by a kill of {part}: median, longest", _lengths(kills, part)) for part in sorted(excused)),
    ]


def _lengths(kills: list[Kill], part: str) -> str:
    lengths = [kill.until_s - kill.at_s for kill in kills if kill.what == part]
    return f"{median(lengths):.2f} s, {max(lengths):.2f} s"


def _end(soak: Soak, left: dict[str, list[str]], problems: int) -> list[tuple[str, object]]:
    first, last = soak.samples.at_rest[0], soak.samples.at_rest[-1]
    loaded = soak.samples.under_load
    return [
        ("state checks passed", soak.sequence.checks_passed),
        ("attacks of the app on its daemon that were refused", soak.sequence.attacks_held),
        *((f"left over: {what}", len(found)) for what, found in left.items()),
        ("daemon, resident: begin, end", f"{first.daemon_mb:.1f} MB, {last.daemon_mb:.1f} MB"),
        ("largest worker, resident: begin, end", f"{first.worker_mb:.1f} MB, {last.worker_mb:.1f} MB"),
        ("under load, most: daemon, worker", f"{_most(loaded).daemon_mb:.1f} MB, {_most(loaded).worker_mb:.1f} MB"),
        ("daemon, file descriptors: begin, end", f"{first.daemon_fds}, {last.daemon_fds}"),
        ("largest worker, file descriptors: begin, end", f"{first.worker_fds}, {last.worker_fds}"),
        ("under load, most: daemon, worker", f"{_most(loaded).daemon_fds}, {_most(loaded).worker_fds}"),
        ("problems", problems),
    ]


def _most(samples: list[Sample]) -> Sample:
    return Sample(*map(max, zip(*samples, strict=True)))
