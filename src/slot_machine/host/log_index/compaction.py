"""Keeps an index small: drops what belongs to bytes that are gone, then every second time of the older half."""

import os
from pathlib import Path

from slot_machine.host.log_index.records import Cutting, File, Mark, Output, Record, decoded, encoded, of_kinds

MOST_BYTES = 1_000_000
"""Room for the times of eight hours in which the log grew in each second."""

MOST_EVENTS = 1000
"""Marks, and as many ranges of output."""


def compacted(log: Path, content: bytes) -> bytes:
    """The same index in at most half of the size, unless the daemon was away thousands of times."""
    records = list(decoded(of_kinds(content, "file", "cut", "mark", "output")))
    file = next(record for record in reversed(records) if isinstance(record, File))
    copies = _inodes(log)
    cuttings = [record for record in records if isinstance(record, Cutting) and record.inode in copies]
    begin = min((cutting.begin for cutting in cuttings), default=file.base)
    marks = [record for record in records if isinstance(record, Mark) and record.at >= begin]
    outputs = [record for record in records if isinstance(record, Output) and record.end > begin]
    kept: list[Record] = [*cuttings, file, *marks[-MOST_EVENTS:], *outputs[-MOST_EVENTS:]]
    events = b"".join(map(encoded, kept))
    points = [line for line in of_kinds(content, "p", "u").splitlines() if int(line.split(b",", 2)[1]) >= begin]
    room = MOST_BYTES // 2 - len(events)
    while sum(map(len, points)) + len(points) > room and len(points) > len(points := _thinned(points)):
        pass
    return events + b"".join(line + b"\n" for line in points)


def _thinned(points: list[bytes]) -> list[bytes]:
    """Never without a point that says that a time is not known: its bytes would get the time of others."""
    half = len(points) // 2
    older = [line for number, line in enumerate(points[:half]) if number % 2 or not line.startswith(b'["p"')]
    return older + points[half:]


def _inodes(log: Path) -> set[int]:
    """Of the rotated files."""
    with os.scandir(log.parent) as entries:
        return {entry.inode() for entry in entries if number_of(log, entry.name) is not None}


def number_of(log: Path, name: str) -> int | None:
    """Of a rotated file; None for another file."""
    begin, _, number = name.rpartition(".")
    return int(number) if begin == log.name and number.isdecimal() else None
