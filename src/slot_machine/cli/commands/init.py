"""`init`."""

import click

from slot_machine.cli import target
from slot_machine.core.defaults import DATA_NAME


@click.command("init")
@click.option("--force", is_flag=True, help="Write slot-machine.json anew even if there is one.")
@click.option("--dry-run", "dry", is_flag=True, help="Print what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found, guessed and written as JSON.")
def command(force: bool, dry: bool, as_json: bool) -> None:
    """Detect the project and write slot-machine.json."""
    from slot_machine.cli import init

    target.here()
    init.run(DATA_NAME, force=force, dry=dry, as_json=as_json)
