"""`after-stop`: for systemd, not for people."""

import click


@click.command("after-stop", hidden=True)
@click.argument("unit")
def command(unit: str) -> None:
    """End what the daemon of a service has left running, if the service is being stopped."""
    from slot_machine.cli.service import leftovers

    leftovers.end(unit)
