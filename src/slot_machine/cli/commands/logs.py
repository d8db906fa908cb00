"""`logs`."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import click

from slot_machine.cli import render
from slot_machine.core import moments
from slot_machine.core.errors import NoLogs, SlotMachineError
from slot_machine.host import printing

LINES = 100
INTERRUPTED = 130


class Moment(click.ParamType):  # type: ignore[type-arg]  # Older ones take none.
    """A time before now, such as `10m`, or RFC 3339. In seconds since 1970."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return moments.since(value, datetime.now().astimezone()).timestamp()
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("logs")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), help=f"How many of the last lines. Default: {LINES}; all with --since."
)
@click.option("--since", type=Moment(), default=0.0, help="From this time on: 10m, 2h, or RFC 3339.")
@click.option("--process", default="", help="Only this process: web, a name of `processes`, or a job.")
@click.option("--slot", type=click.Choice(["a", "b"]), help="Only this slot.")
@click.option("--setup", is_flag=True, help="Also what setup, build and release commands printed.")
@click.option("--attempt", type=click.IntRange(1), help="What this attempt printed until its switch.")
@click.option("--json", "as_json", is_flag=True, help="Print each line as a JSON object.")
def command(
    follow: bool,
    lines: int | None,
    since: float,
    process: str,
    slot: str | None,
    setup: bool,
    attempt: int | None,
    as_json: bool,
) -> None:
    """Show what the app printed, with times, over switches and rotations."""
    from slot_machine.cli import log_format
    from slot_machine.cli.log_lines import Logs, Wanted

    count = LINES if lines is None and not (since or attempt) else lines
    shape = log_format.as_json if as_json else log_format.line
    try:
        data = render.client().find_data()
        if not data:
            raise NoLogs("there is no slot-machine.json here", "go to its folder, or name the app by `-a NAME`")
        logs = Logs(Path(data), Wanted(count, since, process, slot or "", setup, attempt or 0, follow))
        log_format.print_all(logs.history(), shape)
        for batch in logs.follow() if follow else ():
            log_format.print_all(batch, shape)
            log_format.check_that_somebody_reads()
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        _fail(f"cannot read the logs: {error}", "", as_json=as_json)
    except SlotMachineError as error:
        _fail(str(error), error.hint, as_json=as_json)


def _fail(error: str, hint: str, *, as_json: bool) -> NoReturn:
    if as_json:
        printing.result(json.dumps({"success": False, "error": error, "hint": hint}))
        sys.exit(1)
    render.fail(error, hint)
