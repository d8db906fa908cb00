"""What a watch shows: the numbers of the new and of the old version, in two columns."""

from collections.abc import Iterator

from slot_machine.core.minutes import Tally
from slot_machine.core.side import Side

MOST_PATHS = 5
"""Those with the most failures of the new version."""
LONGEST_PATH = 36
NUMBERS_WIDTH = 18
"""Of a column. With the names before them, both fit into 80 characters."""


def columns(new: Side, old: Side) -> Iterator[str]:
    """Lines of at most 80 characters."""
    for name, one, two in _rows(new, old):
        yield f"{name:<{LONGEST_PATH}}{one:>{NUMBERS_WIDTH}}{two:>{NUMBERS_WIDTH}}"


def _rows(new: Side, old: Side) -> Iterator[tuple[str, str, str]]:
    total, old_total = new.total, old.total
    yield "", "new", "old"
    yield "requests", f"{total.asked:,}", f"{old_total.asked:,}"
    yield "failed", _failed(total), _failed(old_total)
    for path in _failing(new):
        yield f"  {_shortened(path)}", _failed(new.paths[path]), _failed(old.paths.get(path, Tally()))
    for name, percent in (("median", 50), ("99th percentile", 99)):
        yield name, _time(total, percent), _time(old_total, percent)
    yield "crashed", _crashed(new), _crashed(old)


def _failing(side: Side) -> list[str]:
    failing = [path for path, tally in side.paths.items() if tally.failed > 0]
    return sorted(failing, key=lambda path: -side.paths[path].failed)[:MOST_PATHS]


def _failed(tally: Tally) -> str:
    if not tally.asked:
        return "-"
    return f"{tally.failed:,} of {tally.asked:,}" if tally.failed else "0"


def _time(tally: Tally, percent: int) -> str:
    seconds = tally.percentile_s(percent)
    if not tally.requests:
        return "-"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _crashed(side: Side) -> str:
    return _shortened(", ".join(side.crashes) or "-", NUMBERS_WIDTH - 1)


def _shortened(text: str, most: int = LONGEST_PATH - 3) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
