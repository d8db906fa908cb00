"""`maintenance`."""

import click

from slot_machine.cli import render
from slot_machine.host import printing


@click.group("maintenance")
def command() -> None:
    """Let the port answer 503 with a page of yours, or the app again."""


@command.command("on")
@click.option("--message", default="", help="What visitors read. The file of maintenance_page takes its place.")
def on(message: str) -> None:
    """Answer 503 in place of the app, until `maintenance off`."""
    reply = render.client().maintain(on=True, message=message)
    render.fail_if_refused(reply)
    warnings = reply.get("warnings", [])
    for warning in warnings if isinstance(warnings, list) else []:
        printing.note(f"warning: {warning}")
    printing.result("under maintenance; `slot-machine maintenance off` ends it")


@command.command("off")
def off() -> None:
    """Let the app answer again."""
    render.fail_if_refused(render.client().maintain(on=False))
    printing.result("no maintenance any more")
