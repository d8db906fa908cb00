"""The database, opened as the daemon does it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_machine.state.soundness import open_sound
from slot_machine.state.store import Store


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = open_sound(path)
    try:
        yield store
    finally:
        store.close()


TO_SCHEMA_5 = """
DROP TABLE shared;
ALTER TABLE state DROP COLUMN live_config;
ALTER TABLE state DROP COLUMN previous_config;
ALTER TABLE attempts DROP COLUMN warnings;
ALTER TABLE attempts DROP COLUMN config;
UPDATE processes SET running = json_remove(running, '$.version.config') WHERE running <> 'null';
"""
"""Undoes the migration from schema 5. The seal of such a database has to be made anew."""
