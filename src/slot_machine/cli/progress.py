"""Shows the stages of a deploy: with a live display on a terminal, as plain lines in a pipe."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from slot_machine.cli.client import Json
from slot_machine.cli.quiet import Quiet
from slot_machine.host import printing

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text


class View(Protocol):
    def show(self, line: Json) -> None: ...
    def close(self) -> None: ...


def follow(lines: Iterator[Json], view: View | None = None) -> Json:
    """Shows the progress, by default on stderr; returns the reply. If that can't be written to, nothing is shown."""
    view = view or (Terminal() if printing.takes_sequences(sys.stderr) else Plain())
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
    """The warnings of a reply as the progress shows them. A refusal has no progress, so only its reply has them."""
    warnings = reply.get("warnings", [])
    assert isinstance(warnings, list)
    return [f"warning: {message}" for message in warnings]


class Nothing:
    """Shows no progress."""

    def show(self, line: Json) -> None:
        pass

    def close(self) -> None:
        pass


class Lines:
    """Prints each event as a line of JSON to stdout, for programs. The caller prints the reply."""

    def __init__(self) -> None:
        # A space before an object means nothing (RFC 8259, section 2).
        self._quiet = Quiet(lambda: print(" ", end="", flush=True))

    def show(self, line: Json) -> None:
        self._quiet.heard()
        if "stage" in line:
            printing.result(json.dumps(line))

    def close(self) -> None:
        self._quiet.end()


class Plain:
    """Prints a line for each stage when it ends, the setup's output at once, and now and then that a stage runs."""

    def __init__(self) -> None:
        self._stage = ""
        self._started = ""
        self._began_s = time.monotonic()
        self._quiet = Quiet(self._still)

    def show(self, line: Json) -> None:
        self._quiet.heard()
        if line["event"] == "started":
            self._stage, self._started = str(line["stage"]), str(line["message"])
            self._began_s = time.monotonic()
        elif line["event"] == "output":
            printing.note(f"  | {line['message']}")
        else:
            printing.note(_ended(line, self._started))

    def close(self) -> None:
        self._quiet.end()

    def _still(self) -> None:
        seconds = time.monotonic() - self._began_s
        printing.note(f"{self._stage:<9} {seconds:7.0f} s  so far: {self._started}")


class Terminal:
    """Prints the same lines, above them the app's name. Below them stands for how long which stage has run."""

    def __init__(self) -> None:
        from rich.markup import escape
        from rich.text import Text

        self._console = _harmless_console()
        self._escape = escape
        self._coloured = Text.from_ansi
        self._named = False
        self._started = ""
        self._status = self._console.status("")
        self._status.start()

    def show(self, line: Json) -> None:
        if line.get("app") and not self._named:
            self._named = True
            self._console.print(f"[bold]{self._escape(printing.shown(str(line['app'])))}[/]")
        message = printing.continued(str(line["message"]))
        if line["event"] == "output":
            self._console.print("[dim]  |[/]", self._coloured(printing.coloured(message), style="dim"))
            return
        message = self._escape(printing.shown(message))
        if line["event"] == "started":
            self._started = message
            self._status.update(Running(f"[bold]{line['stage']:<9}[/]", message))
        else:
            symbol = "[red]✗[/]" if line["event"] == "failed" else "[green]✓[/]"
            self._console.print(f"{symbol} {_ended(line | {'message': message}, self._started)}")

    def close(self) -> None:
        self._status.stop()


class Running:
    """The stage that runs, with the seconds since it began. It is rendered anew several times a second."""

    def __init__(self, stage: str, message: str) -> None:
        """Both are in rich's markup."""
        self._stage = stage
        self._message = message
        self._began_s = time.monotonic()

    def __rich__(self) -> "Text":
        from rich.text import Text

        elapsed_s = time.monotonic() - self._began_s
        text = Text.from_markup(f"{self._stage} {elapsed_s:5.0f} s  {self._message}")
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


def _harmless_console() -> "Console":
    """A console that makes control characters in texts visible. Its own control sequences still reach the terminal."""
    from rich.console import Console
    from rich.segment import Segment

    class Harmless(Console):
        def render(self, renderable: "RenderableType", options: "ConsoleOptions | None" = None) -> "Iterable[Segment]":
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printing.shown(segment.text), segment.style)

    return Harmless(file=sys.__stderr__, highlight=False)


def _ended(line: Json, started: str) -> str:
    message = str(line["message"]) or started
    failed = "failed: " if line["event"] == "failed" else ""
    seconds = line["seconds"]
    assert isinstance(seconds, int | float)
    return f"{line['stage']:<9} {seconds:7.2f} s  {failed}{message}".rstrip()
