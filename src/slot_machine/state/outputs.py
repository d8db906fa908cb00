"""What the commands of each attempt printed: the queries."""

import errno
import zlib
from collections.abc import Mapping

import msgspec

from slot_machine.host.files.capacity import free
from slot_machine.state.database import Database
from slot_machine.state.schema import transaction

MOST_BYTES = 16_000_000
"""Of all outputs, compressed. The check of the database at each start reads them."""

LEAST_FREE_BYTES = 32_000_000
"""With less free space, nothing is kept: a rollback may need what is left."""


class Outputs(Database):
    def save_output(self, attempt_id: int, texts: Mapping[str, bytes]) -> None:
        """In place of what was kept of this attempt; the oldest others make room. Raises sqlite3.Error, OSError.

        Does not wait for the disk: nothing that the visitors wait for, such as a return in a watch, is to wait for it.
        """
        if free(self._path.parent).bytes < LEAST_FREE_BYTES:
            raise OSError(errno.ENOSPC, "too little disk space is free")
        packed = zlib.compress(msgspec.msgpack.encode(texts))
        with self._soon_on_disk(), transaction(self._db):
            self._db.execute("REPLACE INTO outputs VALUES (?, ?)", (attempt_id, packed))
            newest = "SELECT attempt, sum(length(texts)) OVER (ORDER BY attempt DESC) AS bytes FROM outputs"
            self._db.execute(
                f"DELETE FROM outputs WHERE attempt IN (SELECT attempt FROM ({newest}) WHERE bytes > ?)", (MOST_BYTES,)
            )

    def output(self, attempt_id: int) -> dict[str, str]:
        """By stage; empty if nothing was printed, or is kept no more."""
        row = self._db.execute("SELECT texts FROM outputs WHERE attempt = ?", (attempt_id,)).fetchone()
        texts = msgspec.msgpack.decode(zlib.decompress(row[0]), type=dict[str, bytes]) if row else {}
        return {stage: text.decode(errors="backslashreplace") for stage, text in texts.items()}
