"""Whether the app is under maintenance: the queries."""

from typing import NamedTuple

from slot_machine.state.database import Database, twice_on_a_full_disk
from slot_machine.state.schema import transaction


class Notice(NamedTuple):
    """`since` is RFC 3339 in UTC. `kind` is the Content-Type of the page; empty if there is only the message."""

    message: str
    since: str
    kind: str


class Maintenances(Database):
    """Each method is one transaction, on disk when it returns. Raises sqlite3.Error when the disk refuses."""

    def maintenance(self) -> Notice | None:
        row = self._db.execute("SELECT message, since, kind FROM maintenance").fetchone()
        return Notice(*row) if row else None

    @twice_on_a_full_disk
    def save_maintenance(self, notice: Notice | None) -> None:
        with transaction(self._db):
            self._db.execute("DELETE FROM maintenance")
            if notice:
                self._db.execute("INSERT INTO maintenance VALUES (?, ?, ?)", notice)
