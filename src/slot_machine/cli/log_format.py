"""How `logs` prints a line or a mark: for people, or as JSON."""

import json
import select
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from slot_machine.cli.log_lines import Log
from slot_machine.core.model import WEB
from slot_machine.host.log_index.cursor import Entry
from slot_machine.host.log_index.records import Mark

NO_TIME = "-"
BATCH = 200
"""Lines that are printed at once."""

TIME_LENGTH = len("2026-11-27T12:00:00Z")


def line(log: Log, entry: Entry) -> str:
    """`2026-11-27T12:00:00Z a.worker the line`."""
    moment = _moment(entry.time) if entry.time is not None else NO_TIME
    process = entry.stage or log.process
    source = log.slot if process == WEB else f"{log.slot}.{process}"
    text = f"-- {entry.content.text} --" if isinstance(entry.content, Mark) else _text(entry.content)
    return f"{moment:<{TIME_LENGTH}} {source} {text}"


def as_json(log: Log, entry: Entry) -> str:
    """One object, without a line break in it."""
    mark = entry.content if isinstance(entry.content, Mark) else None
    return json.dumps(
        {
            "time": None if entry.time is None else _moment(entry.time),
            "slot": log.slot,
            "process": log.process,
            "stage": entry.stage,
            "event": mark.event if mark else "",
            "attempt": entry.attempt,
            "text": mark.text if mark else _text(entry.content),
        }
    )


def print_all(entries: Iterable[tuple[Log, Entry]], shape: Callable[[Log, Entry], str]) -> None:
    """Raises OSError."""
    batch: list[str] = []
    for log, entry in entries:
        batch.append(shape(log, entry))
        if len(batch) >= BATCH:
            print("\n".join(batch), flush=True)
            batch.clear()
    if batch:
        print("\n".join(batch), flush=True)


def check_that_somebody_reads() -> None:
    """Raises BrokenPipeError if nobody reads stdout any more: an app that prints nothing would not let us notice."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise BrokenPipeError


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(content: bytes | Mark) -> str:
    return content.text if isinstance(content, Mark) else content.decode(errors="backslashreplace")
