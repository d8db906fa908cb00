"""The database, opened as the daemon does it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_machine.state.schema import MIGRATIONS
from slot_machine.state.soundness import open_sound
from slot_machine.state.store import Store


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = open_sound(path)
    try:
        yield store
    finally:
        store.close()


def _undone(migration: str) -> str:
    """Statements that take away the tables and columns which it adds."""
    added = re.findall(r"(?m)^(?:CREATE ((?:TABLE|INDEX) \w+)|ALTER TABLE (\w+) ADD COLUMN (\w+))", migration)
    return "".join(
        f"DROP {made};\n" if made else f"ALTER TABLE {table} DROP COLUMN {column};\n" for made, table, column in added
    )


TO_SCHEMA_7 = _undone(MIGRATIONS[7])
"""Undoes the migration from schema 7."""

TO_SCHEMA_6 = f"""{TO_SCHEMA_7}{_undone(MIGRATIONS[6])}
CREATE TABLE environments (
    tree INTEGER PRIMARY KEY, started TEXT NOT NULL DEFAULT '', built TEXT NOT NULL DEFAULT 'null'
) STRICT;
"""
"""Undoes the migrations from schema 6."""

TO_SCHEMA_5 = f"""{TO_SCHEMA_6}{_undone(MIGRATIONS[5])}
UPDATE processes SET running = json_remove(running, '$.version.config') WHERE running <> 'null';
"""
"""Undoes the migrations from schema 5. The seal of such a database has to be made anew."""
