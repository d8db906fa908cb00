"""`status`: asks, prints, exits; again and again with `--watch`. It must be fast, so it imports almost nothing."""

import json
import sys
import time

from slot_machine.cli import render, target
from slot_machine.cli.client import Json
from slot_machine.cli.status_words import lines
from slot_machine.core.errors import SlotMachineError
from slot_machine.host import printing

TYPE_CHECKING = False  # typing's own takes 3 ms to import.
if TYPE_CHECKING:
    from collections.abc import Callable

HEALTHY, UNHEALTHY = 0, 3
WATCH_S = 2.0
CLEAR = "\x1b[H\x1b[2J"
"""Cursor to the upper left corner, erase the screen (ECMA-48)."""


def main(*, as_json: bool = False) -> None:
    """Runs `slot-machine status` without the library that parses the other commands."""
    try:
        sys.exit(show(as_json=as_json))
    except SlotMachineError as error:
        render.fail(str(error), error.hint)
    except BrokenPipeError:
        render.nobody_reads()


def show(*, as_json: bool = False) -> int:
    """Prints the status, and returns the exit code. Raises SlotMachineError."""
    if target.has_engine():
        from slot_machine.cli.cluster import status as cluster

        cluster.run(as_json=as_json)
    status = render.client().status()
    render.fail_if_refused(status)
    if as_json:
        printing.result(json.dumps(status))
    else:
        _print(lines(status))
    return HEALTHY if status.get("healthy") is True else UNHEALTHY


def watch() -> int:
    """Shows it again and again until it is interrupted. Raises SlotMachineError if there is no daemon at first."""
    return watched(render.client().status, lines)


def watched(ask: "Callable[[], Json]", told: "Callable[[Json], list[str]]") -> int:
    """The same for what `ask` answers. Raises what it raises at first."""
    shown: list[str] = []
    status = ask()
    try:
        while True:
            render.fail_if_refused(status)
            before, shown = shown, told(status)
            if printing.takes_sequences(sys.stdout):
                _clear_screen()
                _print(shown)
            elif shown != before:
                _print([*shown, ""])
            time.sleep(WATCH_S)
            try:
                status = ask()
            except SlotMachineError as error:
                printing.note(f"error: {error}")
    except KeyboardInterrupt:
        return 130


def _print(shown: "list[str]") -> None:
    for line in shown:
        printing.result(line)


def _clear_screen() -> None:
    """The guard of stdout makes control characters visible, so this goes past it."""
    terminal = sys.__stdout__
    assert terminal is not None
    terminal.write(CLEAR)
    terminal.flush()
