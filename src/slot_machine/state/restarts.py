"""How often each process was started again and why, and how it last ended: the queries."""

from collections.abc import Sequence

import msgspec

from slot_machine.state.database import Database, twice_on_a_full_disk

SAME_PROCESS = "ON CONFLICT (process, cause) DO UPDATE SET number = number + 1, last_at = excluded.last_at"


class RestartCount(msgspec.Struct):
    """`last_at` is RFC 3339."""

    process: str
    cause: str
    number: int
    last_at: str


class Exit(msgspec.Struct):
    """How a process last ended by itself, or was ended because it was unhealthy. `at` is RFC 3339.

    `lines` are the last ones that it printed.
    """

    process: str
    how: str
    at: str
    commit: str
    slot: str
    lines: Sequence[str]


class Restarts(Database):
    """They are kept over switches, and from one daemon to the next."""

    @twice_on_a_full_disk
    def count_restart(self, process: str, cause: str, at: str) -> None:
        self._db.execute(f"INSERT INTO restarts VALUES (?, ?, 1, ?) {SAME_PROCESS}", (process, cause, at))

    def restart_counts(self) -> list[RestartCount]:
        return [RestartCount(*row) for row in self._db.execute("SELECT * FROM restarts ORDER BY process, cause")]

    @twice_on_a_full_disk
    def save_exit(self, end: Exit) -> None:
        lines = msgspec.json.encode(end.lines).decode()
        row = (end.process, end.how, end.at, end.commit, end.slot, lines)
        self._db.execute("REPLACE INTO exits VALUES (?, ?, ?, ?, ?, ?)", row)

    def exits(self) -> list[Exit]:
        rows = self._db.execute("SELECT * FROM exits ORDER BY process")
        return [
            Exit(process, how, at, commit, slot, msgspec.json.decode(lines, type=list[str]))
            for process, how, at, commit, slot, lines in rows
        ]
