"""Every attempt, every run of a job, and up to when the schedules were followed: the queries."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from slot_machine.core.model import Attempt, Version
from slot_machine.core.phases import HALF_MIGRATED, Phase
from slot_machine.core.upstream import Counts
from slot_machine.host.process.proc import Identity
from slot_machine.state.database import Database, twice_on_a_full_disk
from slot_machine.state.schema import transaction

KEPT_ATTEMPTS = 1000
KEPT_FOR = "-1 year"
KEPT_AT_ANY_AGE = 100
"""These stay whatever their date, so that a clock which was wrong by years does not cost the history."""
KEPT_CRASHES = 500
"""They take no room from the other attempts either."""
BY_SOMEBODY = "kind NOT IN ('job', 'crash')"
KEPT_OF_A_JOB = 100
KEPT_OF_JOBS = 5000
"""Of all jobs, also of those whose names no version has any more. Jobs take no room from the other attempts."""


class Followed(NamedTuple):
    """What is known of a job's schedule. Times until `handled_until`, in RFC 3339, are dealt with."""

    schedule: str
    handled_until: str


class UnderWay(msgspec.Struct, frozen=True):
    """A run of a job, as the next daemon finds it.

    `began_s` is a time of the monotonic clock, which all daemons share until the machine boots again. The output begins
    at byte `log_begin` of the log.
    """

    identity: Identity
    version: Version
    timeout_s: float
    began_s: float
    log_begin: int = 0


class History(Database):
    @twice_on_a_full_disk
    def begin(self, attempt: Attempt, handled_until: str = "") -> Attempt:
        """Returns the attempt with its new id. Deletes the oldest attempts of its kind.

        For a job, notes together with it that the times until `handled_until` are dealt with.
        """
        with transaction(self._db):
            cursor = self._db.execute(
                "INSERT INTO attempts"
                " (kind, trigger, commit_hash, slot, started_at, result, error, job, who, message, ref)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    attempt.kind,
                    attempt.trigger,
                    attempt.commit,
                    attempt.slot,
                    attempt.started_at,
                    attempt.result,
                    attempt.error,
                    attempt.job,
                    attempt.who,
                    attempt.message,
                    attempt.ref,
                ),
            )
            latest = cursor.lastrowid
            assert latest is not None
            if attempt.kind == "job":
                self._db.execute("UPDATE jobs SET handled_until = ? WHERE name = ?", (handled_until, attempt.job))
                self._prune_jobs(attempt.job)
            elif attempt.kind == "crash":
                self._prune_crashes()
            else:
                self._prune(attempt.started_at)
            self._db.execute("DELETE FROM outputs WHERE attempt NOT IN (SELECT id FROM attempts)")
        return msgspec.structs.replace(attempt, id=latest)

    def _prune(self, now: str) -> None:
        others = f"SELECT id FROM attempts WHERE {BY_SOMEBODY} ORDER BY id DESC LIMIT ?"
        self._db.execute(
            f"DELETE FROM attempts WHERE {BY_SOMEBODY} AND (id NOT IN ({others})"
            f" OR (id NOT IN ({others}) AND julianday(started_at) < julianday(?, ?)))",
            (KEPT_ATTEMPTS, KEPT_AT_ANY_AGE, now, KEPT_FOR),
        )

    def _prune_crashes(self) -> None:
        latest = "SELECT id FROM attempts WHERE kind = 'crash' ORDER BY id DESC LIMIT ?"
        self._db.execute(f"DELETE FROM attempts WHERE kind = 'crash' AND id NOT IN ({latest})", (KEPT_CRASHES,))

    def _prune_jobs(self, name: str) -> None:
        self._db.execute(
            "DELETE FROM attempts WHERE kind = 'job' AND result <> 'running' AND"
            " (job = ? AND id NOT IN (SELECT id FROM attempts WHERE job = ? ORDER BY id DESC LIMIT ?)"
            " OR id NOT IN (SELECT id FROM attempts WHERE kind = 'job' ORDER BY id DESC LIMIT ?))",
            (name, name, KEPT_OF_A_JOB, KEPT_OF_JOBS),
        )

    def note(self, attempt: Attempt) -> None:
        """Like `save_attempt`, without waiting for the disk."""
        with self._soon_on_disk():
            self.save_attempt(attempt)

    @twice_on_a_full_disk
    def save_attempt(self, attempt: Attempt) -> None:
        """A run of a job is over once its result is saved."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE attempts SET commit_hash = ?, slot = ?, stage = ?, result = ?, error = ?, seconds = ?,"
                " stage_seconds = ?, requests = ?, warnings = ?, config = ?, ref = ?, subject = ?, author = ?,"
                " cause = ?, away_s = ?, verdict = ?, share = ? WHERE id = ?",
                (
                    attempt.commit,
                    attempt.slot,
                    attempt.stage,
                    attempt.result,
                    attempt.error,
                    attempt.seconds,
                    msgspec.json.encode(attempt.stage_seconds).decode(),
                    msgspec.json.encode(attempt.requests).decode(),
                    msgspec.json.encode(attempt.warnings).decode(),
                    msgspec.json.encode(attempt.config).decode(),
                    attempt.ref,
                    attempt.subject,
                    attempt.author,
                    attempt.cause,
                    attempt.away_s,
                    attempt.verdict,
                    attempt.share,
                    attempt.id,
                ),
            )
            if attempt.result != "running":
                self._db.execute("DELETE FROM job_runs WHERE attempt = ?", (attempt.id,))

    @twice_on_a_full_disk
    def add_warning(self, attempt_id: int, words: str) -> None:
        """To an attempt that has ended. Does nothing if the history does not have it any more."""
        self._db.execute(
            "UPDATE attempts SET warnings = json_insert(warnings, '$[#]', ?) WHERE id = ?", (words, attempt_id)
        )

    @twice_on_a_full_disk
    def count(self, attempt_id: int, counts: Counts) -> None:
        """What became of the requests of an attempt that has ended."""
        self._db.execute(
            "UPDATE attempts SET requests = ? WHERE id = ?", (msgspec.json.encode(counts).decode(), attempt_id)
        )

    @twice_on_a_full_disk
    def interrupt_unfinished(self) -> None:
        """Marks the attempts that an earlier daemon did not finish.

        Not the runs of jobs, which may go on, and not one whose version is watched.
        """
        self._db.execute(
            "UPDATE attempts SET result = 'interrupted',"
            " error = CASE kind WHEN 'crash' THEN error || '; ' ELSE '' END || 'the daemon ended'"
            " || CASE stage WHEN ? THEN ? ELSE '' END"
            " WHERE result = 'running' AND id NOT IN (SELECT attempt FROM job_runs) AND id NOT IN"
            " (SELECT json_extract(candidate, '$.attempt') FROM candidates"
            "  WHERE json_extract(candidate, '$.state') = 'watched')",
            (Phase.RELEASE, f"; {HALF_MIGRATED}"),
        )

    def attempts(self, limit: int, *, jobs: bool | None = None, crashes: bool = True) -> list[Attempt]:
        """The latest first; `jobs`: only those of jobs, or only others; without `crashes`, none of those.

        Reads the tables of every schema since 2, which have fewer columns at the end.
        """
        rows = self._db.execute(
            "SELECT * FROM attempts WHERE (?1 IS NULL OR (kind = 'job') = ?1) AND (?2 OR kind <> 'crash')"
            " ORDER BY id DESC LIMIT ?3",
            (jobs, crashes, limit),
        )
        return [_attempt(row) for row in rows]

    def attempt(self, attempt_id: int) -> Attempt | None:
        row = self._db.execute("SELECT * FROM attempts WHERE id = ?", (attempt_id,)).fetchone()
        return _attempt(row) if row else None

    def described(self, commit: str) -> tuple[str, str]:
        """Subject and author of a commit that was deployed; empty if the history does not have them."""
        row = self._db.execute(
            "SELECT subject, author FROM attempts WHERE commit_hash = ? AND subject <> '' ORDER BY id DESC LIMIT 1",
            (commit,),
        ).fetchone()
        return row or ("", "")

    def ref(self, commit: str) -> str:
        """The branch or tag by which the commit was last deployed; empty if there is none."""
        row = self._db.execute(
            "SELECT ref FROM attempts WHERE commit_hash = ? AND ref <> '' AND result IN ('succeeded', 'held')"
            " ORDER BY id DESC LIMIT 1",
            (commit,),
        ).fetchone()
        return row[0] if row else ""

    def last_run(self, job: str) -> Attempt | None:
        """The latest run of a job, whether or not it has ended."""
        row = self._db.execute(
            "SELECT * FROM attempts WHERE job = ? AND result <> 'missed' ORDER BY id DESC LIMIT 1", (job,)
        ).fetchone()
        return _attempt(row) if row else None

    def followed(self) -> dict[str, Followed]:
        """By the names of the jobs."""
        return {name: Followed(*rest) for name, *rest in self._db.execute("SELECT * FROM jobs")}

    @twice_on_a_full_disk
    def save_followed(self, jobs: Mapping[str, Followed]) -> None:
        """In place of all that was known."""
        with transaction(self._db):
            self._db.execute("DELETE FROM jobs")
            self._db.executemany("INSERT INTO jobs VALUES (?, ?, ?)", [(name, *job) for name, job in jobs.items()])

    def runs_under_way(self) -> list[tuple[Attempt, UnderWay]]:
        rows = self._db.execute(
            "SELECT job_runs.under_way, attempts.* FROM job_runs JOIN attempts ON attempts.id = job_runs.attempt"
        )
        return [(_attempt(tuple(row)), msgspec.json.decode(text, type=UnderWay)) for text, *row in rows]

    @twice_on_a_full_disk
    def save_under_way(self, attempt: Attempt, run: UnderWay) -> None:
        self._db.execute("REPLACE INTO job_runs VALUES (?, ?)", (attempt.id, msgspec.json.encode(run).decode()))


def _attempt(row: tuple[object, ...]) -> Attempt:
    """The fields of Attempt are in the order of the table's columns."""
    values = dict(zip(Attempt.__struct_fields__, row, strict=False))
    for name in {"stage_seconds", "requests", "warnings", "config"} & values.keys():
        values[name] = msgspec.json.decode(str(values[name]))
    return msgspec.convert(values, Attempt)
