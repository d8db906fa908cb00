"""A deploy's stages for people: live on a terminal, as plain lines in a pipe."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

import click

from slot_machine.client import Json


class View(Protocol):
    def show(self, line: Json) -> None: ...
    def close(self) -> None: ...


def follow(lines: Iterator[Json]) -> Json:
    """Shows the progress on stderr as far as it takes it, and returns the reply that ends it."""
    view: View = Terminal() if sys.stderr.isatty() else Plain()
    shown = set()
    try:
        for line in lines:
            if "event" not in line:
                for message in _warnings(line):
                    if message not in shown:
                        with suppress(OSError):
                            view.show({"event": "output", "message": message})
                return line
            with suppress(OSError):
                view.show(line)
            shown.add(line["message"])
    finally:
        with suppress(OSError):
            view.close()
    raise AssertionError("the client ends with a reply or raises")


def _warnings(reply: Json) -> list[str]:
    """As the progress has them, where there is one: a refusal comes alone."""
    warnings = reply.get("warnings", [])
    assert isinstance(warnings, list)
    return [f"warning: {message}" for message in warnings]


class Plain:
    """One line a stage when it ends, and the setup's output as it comes."""

    def __init__(self) -> None:
        self._started = ""

    def show(self, line: Json) -> None:
        if line["event"] == "started":
            self._started = str(line["message"])
        elif line["event"] == "output":
            click.echo(f"  | {line['message']}", err=True)
        else:
            click.echo(_ended(line, self._started), err=True)

    def close(self) -> None:
        pass


class Terminal:
    """The same lines, and below them what is running now."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.markup import escape

        self._console = Console(stderr=True, highlight=False)
        self._escape = escape
        self._started = ""
        self._status = self._console.status("")
        self._status.start()

    def show(self, line: Json) -> None:
        message = self._escape(str(line["message"]))
        if line["event"] == "started":
            self._started = message
            self._status.update(f"[bold]{line['stage']:<9}[/] {message}")
        elif line["event"] == "output":
            self._console.print(f"[dim]  | {message}[/]")
        else:
            mark = "[red]✗[/]" if line["event"] == "failed" else "[green]✓[/]"
            self._console.print(f"{mark} {_ended(line | {'message': message}, self._started)}")

    def close(self) -> None:
        self._status.stop()


def _ended(line: Json, started: str) -> str:
    message = str(line["message"]) or started
    failed = "failed: " if line["event"] == "failed" else ""
    seconds = line["seconds"]
    assert isinstance(seconds, int | float)
    return f"{line['stage']:<9} {seconds:7.2f} s  {failed}{message}".rstrip()
