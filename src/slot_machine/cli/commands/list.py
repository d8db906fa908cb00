"""`list`, and its alias `ls`."""

import click

from slot_machine.host import printing


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print all that is known of each as JSON.")
def command(as_json: bool) -> None:
    """List the running daemons of this user; for root those of all users."""
    import json

    from slot_machine.cli import listing

    rows = listing.rows()
    if as_json:
        printing.result(json.dumps([row.fields() for row in rows]))
        return
    for line in listing.table(rows):
        printing.result(line)
    for line in listing.remarks(rows):
        printing.note(line)
