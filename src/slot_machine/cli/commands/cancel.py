"""`cancel`."""

import click

from slot_machine.cli import render
from slot_machine.host import printing


@click.command("cancel")
@click.option("--force", is_flag=True, help="Even in the stage release: the database may be half migrated then.")
def command(force: bool) -> None:
    """End the deploy or rollback that runs; the live version stays, or is live again after a switch."""
    reply = render.client().cancel(force=force)
    render.fail_if_refused(reply)
    stage = f" in stage {reply['stage']}" if reply["stage"] else ""
    printing.result(f"cancelled the {reply['kind']} of {reply['commit'] or '...'}{stage}")
