"""Tables and sparklines of `top` and `stats`."""

import sys
from collections.abc import Iterable, Sequence

from slot_machine.cli import words

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-=+*#@"
"""Where stdout can't have the others."""
EMPTY = " "

MILLION = 1_000_000


def number(value: float) -> str:
    """Three digits that count, and no unit: `0.123`, `4.56`, `78.9`, `1,234`."""
    if value == 0:
        return "0"
    decimals = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def count(value: int) -> str:
    return f"{value:,}" if value < MILLION else f"{value / MILLION:,.2f}M"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], names: int) -> list[str]:
    """The first column has this width, and is aligned to the left; the last one too, if it has no heading."""
    widths = [names, *(max(len(heading), 7) for heading in headings[1:])]
    return [_line(row, headings, widths) for row in (headings, *rows)]


def _line(row: Sequence[str], headings: Sequence[str], widths: Sequence[int]) -> str:
    cells = [words.pad(row[0], widths[0])]
    for cell, heading, width in zip(row[1:], headings[1:], widths[1:], strict=True):
        cells.append(cell.rjust(width) if heading else cell)
    return " ".join(cells).rstrip()


def sparkline(values: Sequence[float], width: int) -> str:
    """The values from left to right. If there are more than `width`, a place shows the highest of several."""
    places = in_places(values, width)
    bars = BARS if _can_show(BARS) else ASCII_BARS
    top = max(places, default=0)
    return "".join(bars[round(value / top * (len(bars) - 1))] if value else EMPTY for value in places)


def in_places(values: Sequence[float], width: int) -> list[float]:
    size = -(-len(values) // width) or 1
    return [max(values[begin : begin + size]) for begin in range(0, len(values), size)]


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
