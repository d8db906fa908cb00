"""`status`."""

import click

from slot_machine.cli import render


@click.command("status")
def command() -> None:
    """Show what is live and how it is."""
    render.status()
