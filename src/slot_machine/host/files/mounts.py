"""Mounts inside of a folder, such as uploads that all trees share. Nothing in a mount is ever removed."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
"""proc_pid_mountinfo(5). Only this shows bind mounts of the same file system."""

ESCAPED = re.compile(rb"\\([0-7]{3})")


def at_or_below(folder: Path) -> list[Path]:
    """The mount points in a folder, with the folder itself. Does not follow it if it is a symlink. Raises OSError."""
    found = Path(os.path.realpath(folder.parent), folder.name)
    points = (Path(_unescaped(line.split()[4])) for line in MOUNTINFO.read_bytes().splitlines())
    return [folder / point.relative_to(found) for point in points if point.is_relative_to(found)]


def below(folder: Path) -> list[Path]:
    """The mount points in a folder. Raises OSError."""
    return [point for point in at_or_below(folder) if point != folder]


def refuse(points: Iterable[Path], what: str) -> None:
    """Raises OSError, which begins with `what`, if there are any mount points."""
    for point in points:
        raise OSError(f"{what}: {point} is mounted; unmount it, then try again")


def _unescaped(field: bytes) -> str:
    return os.fsdecode(ESCAPED.sub(lambda octal: bytes([int(octal[1], 8)]), field))
