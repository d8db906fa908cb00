"""The options of all commands that begin an attempt: who asks and why, and how its progress and outcome are shown."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from slot_machine.cli import hangup, progress, render
from slot_machine.cli.client import Json
from slot_machine.core.origin import LONGEST_MESSAGE, LONGEST_NAME
from slot_machine.host import printing


class Short(click.ParamType):  # type: ignore[type-arg]  # Older ones take none.
    """A text of at most so many characters, because the history has no room for more."""

    name = "text"

    def __init__(self, most: int) -> None:
        self._most = most

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if len(value) > self._most:
            self.fail(f"it has {len(value)} characters, and may have {self._most}", param, ctx)
        return value


NAME, MESSAGE = Short(LONGEST_NAME), Short(LONGEST_MESSAGE)

OPTIONS = (
    click.Option(
        ["--by"], type=NAME, default="", metavar="NAME", help="Who asks, for the history. Default: the current user."
    ),
    click.Option(["-m", "--message"], type=MESSAGE, default="", metavar="TEXT", help="Why, for the history."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print the outcome as one JSON object."),
    click.Option(["--stream"], is_flag=True, help="With --json: print each event as a line, and then the outcome."),
    click.Option(["-q", "--quiet"], is_flag=True, help="Show no progress."),
)


WATCH_GOES_ON = "it is watched: `slot-machine status` and `slot-machine show` tell more"


class Manner(NamedTuple):
    """The values of these options."""

    by: str
    message: str
    as_json: bool
    stream: bool
    quiet: bool

    def follow(self, lines: Iterator[Json], warnings: Sequence[str] = ()) -> Json:
        """Shows the progress. Returns the reply if the attempt succeeded; else prints it and exits.

        `warnings` are those of the command itself.
        """
        hangup.watch()
        reply = self.shown(lines, warnings)
        render.fail_if_refused(reply)
        return reply

    def shown(self, lines: Iterator[Json], warnings: Sequence[str] = ()) -> Json:
        """Shows the progress. Returns the reply, also that of a failure."""
        if not self.quiet and not self.stream:
            for warning in warnings:
                printing.note(f"warning: {warning}")
        reply = progress.follow(lines, self.view())
        if warnings:
            earlier = reply.get("warnings", [])
            reply["warnings"] = [*warnings, *(earlier if isinstance(earlier, list) else ())]
        return reply

    def tell(self, reply: Json, words: str, hint: str = "") -> None:
        printing.result(json.dumps(reply) if self.as_json else words)
        if hint and not self.as_json and not self.quiet:
            printing.note(hint)

    def view(self) -> "progress.View | None":
        if self.stream:
            return progress.Lines()
        return progress.Nothing() if self.quiet else None


class AttemptCommand(click.Command):
    """Passes a Manner to its function, with `click.pass_obj`."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own, help_option = super().get_params(ctx), self.get_help_option(ctx)
        return [
            *(param for param in own if param is not help_option),
            *OPTIONS,
            *([help_option] if help_option else []),
        ]

    def invoke(self, ctx: click.Context) -> object:
        ctx.obj = Manner(**{name: ctx.params.pop(name) for name in Manner._fields})
        if ctx.obj.stream and not ctx.obj.as_json:
            raise click.UsageError("--stream goes with --json", ctx)
        return super().invoke(ctx)
