"""`rollback`."""

import click

from slot_machine.cli import progress, render
from slot_machine.host import printing


@click.command("rollback")
@click.argument("to", required=False, metavar="[COMMIT|ID]")
def command(to: str | None) -> None:
    """Go back to the previous version, or to the one that COMMIT or ID (of the history) names."""
    reply = progress.follow(render.client().rollback(to or ""))
    render.fail_if_refused(reply)
    printing.result(f"rolled back to {reply['commit']} in slot {reply['slot']}")
