"""Which trees have a finished setup, and on what it depended: the queries."""

import zlib

import msgspec

from slot_machine.core.model import SetUp
from slot_machine.state.database import Database, twice_on_a_full_disk


class Setups(Database):
    """Each method is one transaction, on disk when it returns. Raises sqlite3.Error when the disk refuses."""

    def setup(self, tree: int) -> SetUp | None:
        """None if the tree's last setup did not end, or if there was none."""
        row = self._db.execute("SELECT mark FROM setups WHERE tree = ?", (tree,)).fetchone()
        return msgspec.msgpack.decode(zlib.decompress(row[0]), type=SetUp) if row else None

    @twice_on_a_full_disk
    def save_setup(self, tree: int, setup: SetUp | None) -> None:
        if setup is None:
            self._db.execute("DELETE FROM setups WHERE tree = ?", (tree,))
        else:
            self._db.execute(
                "REPLACE INTO setups (tree, mark) VALUES (?, ?)", (tree, zlib.compress(msgspec.msgpack.encode(setup)))
            )
