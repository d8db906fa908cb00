"""Which trees have a finished setup, on what it depended, and with which variables each was built and started."""

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

    def env_file_digest(self, tree: int) -> str:
        """Of the env_file with which the tree's version was started last."""
        return self._environment(tree)[0]

    @twice_on_a_full_disk
    def save_env_file_digest(self, tree: int, digest: str) -> None:
        self._db.execute(
            "INSERT INTO environments (tree, started) VALUES (?, ?)"
            " ON CONFLICT (tree) DO UPDATE SET started = excluded.started",
            (tree, digest),
        )

    def build_variables(self, tree: int) -> dict[str, str] | None:
        """Digests of the variables that were built into the tree's files, by name. None if they are not known."""
        return msgspec.json.decode(self._environment(tree)[1], type=dict[str, str] | None)

    @twice_on_a_full_disk
    def save_build_variables(self, tree: int, digests: dict[str, str]) -> None:
        self._db.execute(
            "INSERT INTO environments (tree, built) VALUES (?, ?)"
            " ON CONFLICT (tree) DO UPDATE SET built = excluded.built",
            (tree, msgspec.json.encode(digests).decode()),
        )

    def _environment(self, tree: int) -> tuple[str, str]:
        row = self._db.execute("SELECT started, built FROM environments WHERE tree = ?", (tree,)).fetchone()
        return row or ("", "null")
