"""`cancel`."""

import json

import click

from slot_machine.cli import render
from slot_machine.host import printing


@click.command("cancel")
@click.option("--force", is_flag=True, help="Even in the stage release: the database may be half migrated then.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def command(force: bool, as_json: bool) -> None:
    """End the deploy or rollback that runs; the live version stays, or is live again after a switch."""
    reply = render.client().cancel(force=force)
    render.fail_if_refused(reply)
    stage = f" in stage {reply['stage']}" if reply["stage"] else ""
    said = f"cancelled the {reply['kind']} of {reply['commit'] or '...'}{stage}"
    printing.result(json.dumps(reply) if as_json else said)
