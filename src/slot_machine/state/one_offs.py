"""The commands that somebody runs in a version's tree by hand: the queries."""

import msgspec

from slot_machine.core.model import Version
from slot_machine.host.process.proc import Identity
from slot_machine.state.database import Database, twice_on_a_full_disk


class OneOff(msgspec.Struct, frozen=True):
    """A command that the client runs, not the daemon. `identity` is the client's; all of the command bears its mark.

    `program` is the first word of the command. `started_at` is RFC 3339 in UTC.
    """

    identity: Identity
    version: Version
    program: str
    started_at: str


class OneOffs(Database):
    """Each method is one transaction, on disk when it returns. Raises sqlite3.Error when the disk refuses."""

    def one_offs(self) -> list[OneOff]:
        """The earliest first."""
        rows = self._db.execute("SELECT one_off FROM one_offs ORDER BY rowid")
        return [msgspec.json.decode(text, type=OneOff) for (text,) in rows]

    @twice_on_a_full_disk
    def save_one_off(self, one_off: OneOff) -> None:
        text = msgspec.json.encode(one_off).decode()
        self._db.execute("INSERT INTO one_offs VALUES (?, ?)", (one_off.identity.mark, text))

    def forget_one_off(self, one_off: OneOff) -> None:
        self._db.execute("DELETE FROM one_offs WHERE mark = ?", (one_off.identity.mark,))
