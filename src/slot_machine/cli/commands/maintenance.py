"""`maintenance`."""

import json

import click

from slot_machine.cli import render
from slot_machine.cli.client import Json
from slot_machine.host import printing

in_json = click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")


@click.group("maintenance")
def command() -> None:
    """Let the port answer 503 with a page of yours, or the app again."""


@command.command("on")
@click.option("--message", default="", help="What visitors read. The file of maintenance_page takes its place.")
@in_json
def on(message: str, as_json: bool) -> None:
    """Answer 503 in place of the app, until `maintenance off`."""
    tell(render.client().maintain(on=True, message=message), on=True, as_json=as_json)


@command.command("off")
@in_json
def off(as_json: bool) -> None:
    """Let the app answer again."""
    tell(render.client().maintain(on=False), on=False, as_json=as_json)


def tell(reply: Json, *, on: bool, as_json: bool) -> None:
    render.fail_if_refused(reply)
    if as_json:
        printing.result(json.dumps(reply))
        return
    warnings = reply.get("warnings", [])
    for warning in warnings if isinstance(warnings, list) else []:
        printing.note(f"warning: {warning}")
    printing.result("under maintenance; `slot-machine maintenance off` ends it" if on else "no maintenance any more")
