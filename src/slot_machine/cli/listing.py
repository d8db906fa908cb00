"""What `list` tells of each running daemon. Daemons are asked at once, so that one that hangs delays no other one."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from slot_machine import __version__
from slot_machine.cli import daemons, words
from slot_machine.cli.client import Json
from slot_machine.core.errors import SlotMachineError
from slot_machine.host import registry
from slot_machine.host.registry import Entry
from slot_machine.host.user import account

ANSWER_S = 3.0
MOST_AT_ONCE = 16
HEADINGS = ("NAME", "PORT", "COMMIT", "HEALTHY", "UP", "RESTARTS", "MEMORY", "VERSION", "SUBJECT")
LONGEST_NAME = 20
SHORTEST_SUBJECT = 8
UNITS_S = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


class Row(NamedTuple):
    """`status` is empty, and `error` says why, if the daemon does not answer."""

    entry: Entry
    status: Json
    error: str = ""

    @property
    def version(self) -> str:
        return self.entry.version

    @property
    def is_older(self) -> bool:
        return _ordered(self.version) < _ordered(__version__)

    def text(self, name: str) -> str:
        return str(self.status.get(name, ""))

    def number(self, name: str) -> float:
        value = self.status.get(name)
        return value if isinstance(value, int | float) else 0

    def fields(self) -> Json:
        entry = self.entry
        return {
            "name": entry.name,
            "user": account.name(entry.uid),
            "data": entry.data,
            "repo": entry.repo,
            "config": entry.files[0],
            "bind": entry.bind,
            "port": entry.port,
            "api_port": entry.api_port,
            "daemon_pid": entry.process.pid,
            "version": self.version,
            "older": self.is_older,
            "live_slot": self.text("live_slot"),
            "live_commit": self.text("live_commit"),
            "live_subject": self.text("live_subject"),
            "healthy": self.status.get("healthy", False),
            "unhealthy_reason": self.text("unhealthy_reason"),
            "up_since": _since(self.number("uptime_s")),
            "restarts": self.number("restarts"),
            "memory_mb": self.number("memory_mb"),
            "error": self.error,
        }


def rows() -> list[Row]:
    entries = registry.running()
    with ThreadPoolExecutor(min(MOST_AT_ONCE, len(entries)) or 1) as pool:
        return list(pool.map(_asked, entries))


def table(rows: Sequence[Row]) -> Iterator[str]:
    """As wide as the terminal at most: subjects are cut, and then names."""
    if not rows:
        return
    several = {row.entry.uid for row in rows} != {os.geteuid()}
    cells = [_titled(HEADINGS, several, "USER"), *(_titled(_cells(row), several, _user(row)) for row in rows)]
    widths = [max(map(words.width, column)) for column in zip(*cells, strict=True)]
    room = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * len(widths[:-1])
    if room < SHORTEST_SUBJECT:
        widths[0] = max(len(HEADINGS[0]), widths[0] + room - SHORTEST_SUBJECT)
        room = SHORTEST_SUBJECT
    for line in cells:
        fitted = zip(line, [*widths[:-1], room], strict=True)
        yield "  ".join(words.pad(words.cut(cell, width), width) for cell, width in fitted).rstrip()


def remarks(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        yield "no daemon of yours runs; others may run under other users"
    for row in rows:
        if row.error:
            yield f"{row.entry.name} does not answer: {row.error}"
    if any(row.is_older for row in rows):
        yield f"* older than the installed {__version__}; `slot-machine reload --all` updates them"


def _asked(entry: Entry) -> Row:
    client = daemons.client(entry, ANSWER_S)
    try:
        status = client.status()
    except SlotMachineError as error:
        return Row(entry, {}, str(error))
    return Row(entry, {}, str(status.get("error"))) if status.get("success") is False else Row(entry, status)


def _cells(row: Row) -> tuple[str, ...]:
    """The subject stands last, because it is cut."""
    healthy = "yes" if row.status.get("healthy") else "no"
    return (
        words.cut(row.entry.name, LONGEST_NAME),
        str(row.entry.port),
        row.text("live_commit")[:8] or "-",
        "?" if row.error else healthy if row.text("live_commit") else "-",
        _age(row.number("uptime_s")),
        row.text("restarts"),
        f"{row.number('memory_mb'):.0f} MB" if row.number("memory_mb") else "-",
        row.version + "*" * row.is_older,
        words.text(row.status, "live_subject"),
    )


def _titled(cells: Sequence[str], several_users: bool, user: str) -> tuple[str, ...]:
    return (cells[0], *([user] if several_users else []), *cells[1:])


def _user(row: Row) -> str:
    return account.name(row.entry.uid)


def _age(seconds: float) -> str:
    """In the largest unit of which there are at least two, such as `26h`."""
    if not seconds:
        return "-"
    unit, size_s = next((unit for unit in UNITS_S if seconds >= 2 * unit[1]), UNITS_S[-1])
    return f"{int(seconds // size_s)}{unit}"


def _since(seconds: float) -> str:
    """RFC 3339; empty for 0."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds") if seconds else ""


def _ordered(version: str) -> list[int]:
    return [int(number) for number in re.findall("[0-9]+", version)]
