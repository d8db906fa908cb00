"""`status`."""

import sys

import click

from slot_machine.cli import status


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print all that the API tells, as one JSON object.")
@click.option("--watch", "again", is_flag=True, help="Show it anew every 2 s, until Ctrl-C.")
def command(as_json: bool, again: bool) -> None:
    """Show what is live and how it is. Exit code 3 if it is not healthy, or if nothing is live."""
    if again:
        if as_json:
            raise click.UsageError("--watch shows it to people: use --json without it")
        sys.exit(status.watch())
    status.main(as_json=as_json)
