"""Which trees have a finished setup, on what it depended, and which variables were built into each."""

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

    def build_variables(self, tree: int) -> dict[str, str] | None:
        """Digests of the variables that were built into the tree's files, by name. None if they are not known."""
        row = self._db.execute("SELECT digests FROM build_variables WHERE tree = ?", (tree,)).fetchone()
        return msgspec.json.decode(row[0], type=dict[str, str]) if row else None

    @twice_on_a_full_disk
    def save_build_variables(self, tree: int, digests: dict[str, str]) -> None:
        self._db.execute("REPLACE INTO build_variables VALUES (?, ?)", (tree, msgspec.json.encode(digests).decode()))
