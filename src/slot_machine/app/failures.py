"""Failures after which the daemon continues: they are logged, and described in messages."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from slot_machine.core.errors import SlotMachineError

log = logging.getLogger(__name__)


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Logs any Exception that its block raises, and suppresses it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        log_failure(what, error)


def log_failure(what: str, error: Exception) -> None:
    """With a traceback if the error is of a kind that nobody foresaw."""
    foreseen = isinstance(error, SlotMachineError | OSError | sqlite3.Error)
    log.error("%s: %s", what, in_words(error), exc_info=None if foreseen else error)


def in_words(error: Exception) -> str:
    """The error as a message that also says what to do."""
    if isinstance(error, sqlite3.Error):
        return f"cannot write the database: {error}"
    if not isinstance(error, SlotMachineError | OSError):
        return f"unexpected {type(error).__name__}: {error}; see the daemon's output, and report it"
    hint = error.hint if isinstance(error, SlotMachineError) else ""
    return f"{error}; {hint}" if hint else str(error)
