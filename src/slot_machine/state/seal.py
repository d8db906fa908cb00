"""The seal, a file beside the database: the number of changes, and a digest of the contents.

SQLite does not notice if the write-ahead log was lost or cut short, or if a byte has changed: it returns old or wrong
data. The seal is written after each change, so a sound database is never older than its seal.
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
    """None if there is no seal. Raises ValueError for a damaged one."""
    if not path.is_symlink():
        return None
    serial, _, digest = str(path.readlink()).partition("-")
    return Seal(int(serial), digest)


def write(path: Path, seal: Seal) -> None:
    """Writes the seal as the target of a symlink, which is never half written. Raises OSError."""
    links.point(path, f"{seal.serial}-{seal.digest}")
