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
