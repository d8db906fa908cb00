"""The records of an index: one JSON array a line, appended as the log grows.

A position counts the bytes that the log ever got, also those that rotations have cut off. It never falls: a log that
somebody else has cut or replaced goes on at a position behind all earlier ones.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

Stage = Literal["setup", "build", "release"]
Event = Literal["start", "exit", "switch", "rotation"]


class File(msgspec.Struct, frozen=True, array_like=True, tag="file"):
    """From here on, the log's byte 0 is at position `base`. Ends a `Cutting`."""

    base: int
    inode: int


class Point(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """All bytes before `end` were written by `time`, and those behind the point before this one after its time.

    `time` is in seconds since 1970. `check` is a digest of the last bytes before `end`.
    """

    end: int
    time: float
    check: int


class Blind(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """Like `Point`, but nobody looked for a while, so when the bytes were written is not known."""

    end: int
    time: float
    check: int


class Mark(msgspec.Struct, frozen=True, array_like=True, tag="mark"):
    """Something that happened when the log ended at `at`. `attempt` is 0 if it was part of none."""

    at: int
    time: float
    event: Event
    text: str
    attempt: int = 0


class Output(msgspec.Struct, frozen=True, array_like=True, tag="output"):
    """These bytes are not the app's: a command of an attempt printed them."""

    begin: int
    end: int
    attempt: int
    stage: Stage


class Cutting(msgspec.Struct, frozen=True, array_like=True, tag="cut"):
    """These bytes are about to be cut off. A file with this inode has them; it is 0 if they are lost."""

    begin: int
    end: int
    inode: int


Record = File | Point | Blind | Mark | Output | Cutting

_decoder = msgspec.json.Decoder(Record)


def encoded(record: Record) -> bytes:
    return msgspec.json.encode(record) + b"\n"


def decoded(lines: bytes) -> Iterator[Record]:
    """Skips a line that was torn, or that a newer release wrote."""
    for line in lines.splitlines():
        with suppress(msgspec.DecodeError):
            yield _decoder.decode(line)


def of_kinds(lines: bytes, *tags: str) -> bytes:
    """Only the records with these tags: to decode all of them takes ten times as long."""
    starts = tuple(f'["{tag}"'.encode() for tag in tags)
    return b"\n".join(line for line in lines.splitlines() if line.startswith(starts))


def index_of(log: Path) -> Path:
    return log.with_name(f"{log.name}.index")
