"""`version`."""

import click

from slot_machine import SPEC_VERSION, __version__
from slot_machine.host import printing


@click.command("version")
def command() -> None:
    """Print the version, and that of the spec it implements."""
    printing.result(f"slot-machine {__version__} (spec {SPEC_VERSION})")
