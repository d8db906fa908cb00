"""`promote`."""

import click

from slot_machine.cli import render
from slot_machine.cli.manner import AttemptCommand, Manner


@click.command("promote", cls=AttemptCommand)
@click.pass_obj
def command(manner: Manner) -> None:
    """Make the version live that `deploy --hold` holds."""
    reply = manner.follow(render.client().promote(by=manner.by, message=manner.message))
    manner.tell(reply, f"promoted {reply['commit']} in slot {reply['slot']}")
