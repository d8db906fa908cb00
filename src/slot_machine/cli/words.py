"""Times, durations and commits in words, and texts that fit on 80 columns. Imports almost nothing, as `status` does."""

import os
import sys
import time
from datetime import datetime

from slot_machine.cli.client import Json
from slot_machine.host import printing

COLUMNS = 80
"""Where there is no terminal. In the output of a terminal, its width."""
NARROWEST = 40
LABEL = 14
"""The width of the names at the beginning of lines."""

PREVIEW = "a browser that opens this link gets the version at every address of the app"

UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def columns() -> int:
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns, NARROWEST)
    except (OSError, ValueError):
        return COLUMNS


def text(values: Json, name: str) -> str:
    """A field as a text on one line; empty if it is missing."""
    value = values.get(name, "")
    return " ".join(str(value).split()) if value else ""


def number(values: Json, name: str) -> float:
    value = values.get(name, 0)
    return value if isinstance(value, int | float) else 0


def entries(values: Json, name: str) -> "list[Json]":
    """A field that is a list of objects; empty if it is missing."""
    value = values.get(name, [])
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def span(seconds: float) -> str:
    """Such as `2 days`, `12.3 s`."""
    for unit, size_s in UNITS:
        if seconds >= size_s:
            count = int(seconds // size_s)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def short_span(seconds: float) -> str:
    """Such as `2d`, `12s`."""
    for unit, size_s in UNITS:
        if seconds >= size_s:
            return f"{int(seconds // size_s)}{unit[0]}"
    return f"{seconds:.0f}s"


def age_s(moment: str) -> float:
    """Of an RFC 3339 time. Raises ValueError."""
    return max(time.time() - datetime.fromisoformat(moment).timestamp(), 0)


def ago(moment: str) -> str:
    """Such as `3 hours ago`; empty for no time."""
    if not moment:
        return ""
    seconds = age_s(moment)
    return f"{span(seconds)} ago" if seconds >= 1 else "now"


def until(moment: str) -> str:
    """Such as `in 3 hours`."""
    seconds = datetime.fromisoformat(moment).timestamp() - time.time()
    return f"in {span(seconds)}" if seconds >= 1 else "now"


def times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def commit(values: Json, prefix: str) -> str:
    """Hash and subject, from the fields that begin with `prefix`, such as `live_`; empty if there is none."""
    return f"{text(values, f'{prefix}commit')[:8]} {text(values, f'{prefix}subject')}".strip()


def width(line: str) -> int:
    """How many columns it takes: Chinese, Japanese and Korean characters take two, control characters as many as what
    is shown in their place."""
    return len(line) if _is_plain(line) else sum(map(_columns, printing.shown(line)))


def cut(line: str, most: int) -> str:
    """As it is shown, in at most so many columns."""
    line = line if _is_plain(line) else printing.shown(line)
    if width(line) <= most:
        return line
    room = max(most - 3, 0)
    kept = line[:room]
    while width(kept) > room:
        kept = kept[:-1]
    return f"{kept}..."


def pad(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def row(name: str, lines: "list[str]") -> str:
    """A name and what belongs to it, wrapped; each text begins a line of its own."""
    wrapped = [part for line in lines for part in wrap(line, columns() - LABEL)]
    return "\n".join(f"{'' if count else name:<{LABEL}}{part}".rstrip() for count, part in enumerate(wrapped))


def wrap(line: str, most: int) -> "list[str]":
    """Only at spaces. A longer word stays whole, so that paths and hashes can be copied."""
    lines = [""]
    for word in line.split(" "):
        if lines[-1] and width(lines[-1]) + 1 + width(word) > most:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


def _is_plain(line: str) -> bool:
    return line.isascii() and line.isprintable()


def _columns(character: str) -> int:
    import unicodedata

    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
