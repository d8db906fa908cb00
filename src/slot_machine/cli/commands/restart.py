"""`restart`."""

import click

from slot_machine.cli import render
from slot_machine.cli.manner import AttemptCommand, Manner


@click.command("restart", cls=AttemptCommand)
@click.pass_obj
def command(manner: Manner) -> None:
    """Start the live version afresh, beside itself, with the present env_file and configuration."""
    reply = manner.follow(render.client().restart(by=manner.by, message=manner.message))
    manner.tell(reply, f"restarted {reply['commit']} in slot {reply['slot']}")
