"""`uninstall`."""

import click


@click.command("uninstall")
@click.option("--name", default="", help="The unit is called slot-machine-NAME. Default: that of this folder's app.")
@click.option("--user-unit", is_flag=True, help="A unit of your own systemd.")
def command(name: str, user_unit: bool) -> None:
    """Stop the service, and remove its unit. The app's versions and data stay."""
    from slot_machine.cli.service import install, start_options
    from slot_machine.cli.service.systemd import Systemd

    data = None if name else start_options.read(())[0].data
    install.uninstall(name, data, Systemd(user_unit))
