"""`show`."""

import json

import click

from slot_machine.cli import entry, render
from slot_machine.host import printing


@click.command("show")
@click.argument("number", metavar="[ID]", type=click.IntRange(1), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print all fields as one JSON object.")
def command(number: int | None, as_json: bool) -> None:
    """Show what is known of the entry ID of the history, with its output; without ID, of the last attempt."""
    found = render.client().attempt(number)
    render.fail_if_refused(found)
    if as_json:
        printing.result(json.dumps(found))
        return
    for line in entry.details(found):
        printing.result(line)
