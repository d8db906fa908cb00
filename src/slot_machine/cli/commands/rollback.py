"""`rollback`."""

import click

from slot_machine.cli import progress, render
from slot_machine.host import printing


@click.command("rollback")
def command() -> None:
    """Go back to the previous version."""
    reply = progress.follow(render.client().rollback())
    render.fail_if_refused(reply)
    printing.result(f"rolled back to {reply['commit']} in slot {reply['slot']}")
