"""`restart`."""

import click

from slot_machine.cli import progress, render
from slot_machine.host import printing


@click.command("restart")
def command() -> None:
    """Start the live version afresh, beside itself, with the present env_file and configuration."""
    reply = progress.follow(render.client().restart())
    render.fail_if_refused(reply)
    printing.result(f"restarted {reply['commit']} in slot {reply['slot']}")
