"""`top`."""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import click

from slot_machine.cli import render, words
from slot_machine.cli.client import Client, Json
from slot_machine.host import printing

BEGIN, END = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The terminal's other screen without a cursor (xterm), and back."""
HOME, END_OF_LINE, END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command("top")
@click.option("--interval", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="In seconds.")
@click.option("--once", is_flag=True, help="Print the figures of one interval, as in a pipe.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures of one interval as JSON.")
def command(interval: float, once: bool, as_json: bool) -> None:
    """Show the requests a second, and the memory and CPU of the processes, until you press Ctrl-C."""
    client = render.client()
    if as_json or once or not printing.takes_sequences(sys.stdout):
        _once(client, interval, as_json=as_json)
        return
    with suppress(KeyboardInterrupt):
        _live(client, interval)


def _once(client: Client, interval_s: float, *, as_json: bool) -> None:
    import msgspec

    from slot_machine.cli import rates

    before = _asked(client)
    time.sleep(interval_s)
    found = rates.between(before, _asked(client))
    if as_json:
        printing.result(msgspec.json.encode(found).decode())
        return
    for line in rates.lines(found, client.name):
        printing.result(line)


def _live(client: Client, interval_s: float) -> None:
    from slot_machine.cli import rates

    before = _asked(client)
    wait_s = min(interval_s, 1.0)
    _write(BEGIN)
    try:
        while True:
            time.sleep(wait_s)
            after = _asked(client)
            _show([*rates.lines(rates.between(before, after), client.name), "", f"every {interval_s:g} s; Ctrl-C ends"])
            before, wait_s = after, interval_s
    finally:
        _write(END)


def _asked(client: Client) -> Json:
    reply = client.top()
    render.fail_if_refused(reply)
    return reply


def _show(lines: Sequence[str]) -> None:
    width, height = _size()
    shown = (f"{words.cut(line, width)}{END_OF_LINE}" for line in lines[: height - 1])
    _write(HOME + "\r\n".join(shown) + END_OF_SCREEN)


def _size() -> os.terminal_size:
    return os.get_terminal_size(sys.stdout.fileno())


def _write(text: str) -> None:
    """Past the filter of control characters: these are our own. Raises OSError."""
    os.write(sys.stdout.fileno(), text.encode(errors="replace"))
