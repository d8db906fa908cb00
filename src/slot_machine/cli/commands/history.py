"""`history`."""

import json

import click

from slot_machine.cli import entry, render, words
from slot_machine.host import printing

MOST = 9999


@click.command("history")
@click.option("-n", "--number", type=click.IntRange(1, MOST), default=20, show_default=True, help="How many entries.")
@click.option("--jobs", is_flag=True, help="Also the runs of jobs.")
@click.option("--json", "as_json", is_flag=True, help="Print all fields of the entries, as one JSON list.")
def command(number: int, jobs: bool, as_json: bool) -> None:
    """List deploys, promotions, rollbacks, restarts and crashes, the latest first."""
    reply = render.client().history(number, jobs=jobs)
    render.fail_if_refused(reply)
    if as_json:
        printing.result(json.dumps(reply["entries"]))
        return
    entries = words.entries(reply, "entries")
    if not entries:
        printing.note("nothing has happened yet")
    for line in entry.table(entries) if entries else ():
        printing.result(line)
