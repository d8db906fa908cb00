"""The seal beside the database: how often it had been changed, and a digest of what it said then.

SQLite opens a database whose write-ahead log was lost or cut short, or in which a letter has changed, and does not know
that what it reads is old or wrong. The seal is set after each change, so a sound database is never behind it.
"""

from pathlib import Path
from typing import NamedTuple

from slot_machine.host.files import links


class Seal(NamedTuple):
    serial: int
    digest: str


def path_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.seal")


def read(path: Path) -> Seal | None:
    """None where there is none. Raises ValueError."""
    if not path.is_symlink():
        return None
    serial, _, digest = str(path.readlink()).partition("-")
    return Seal(int(serial), digest)


def write(path: Path, seal: Seal) -> None:
    """A symlink that leads nowhere: it is there as a whole or not at all. Raises OSError."""
    links.point(path, f"{seal.serial}-{seal.digest}")
