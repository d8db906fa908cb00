"""One daemon a data folder."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_machine.core.errors import StartRefused

log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file, which names the daemon's pid. Raises StartRefused when another daemon holds it."""
    try:
        file = path.open("a+")
    except OSError as error:
        raise StartRefused(f"cannot use {path.parent} as the data folder: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise StartRefused(
                f"the daemon with pid {pid} already uses the data folder {path.parent}",
                "stop that one first, or give this one another folder with --data",
            ) from None
        _name_ourselves(path)
        yield


def _name_ourselves(path: Path) -> None:
    """For the message to a second daemon only: on a full disk it does without."""
    try:
        path.write_text(f"{os.getpid()}\n")
    except OSError as error:
        log.error("cannot write %s: %s", path, error)
