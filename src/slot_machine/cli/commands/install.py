"""`install`."""

import click


@click.command("install")
@click.option("--user", default="", help="Who runs the daemon. Default: the owner of the app's folder.")
@click.option("--name", default="", help="The unit is called slot-machine-NAME. Default: the app's name.")
@click.option("--user-unit", is_flag=True, help="A unit of your own systemd, for which you need not be root.")
@click.option("--yes", is_flag=True, help="Do not ask before a unit is changed.")
@click.argument("options_of_start", metavar="[START_OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
def command(user: str, name: str, user_unit: bool, yes: bool, options_of_start: tuple[str, ...]) -> None:
    """Let systemd run the daemon, from the next boot on. START_OPTIONS, after `--`, are those of `start`."""
    from slot_machine.cli import start
    from slot_machine.cli.service import install, start_options

    if user and user_unit:
        raise click.UsageError("--user-unit is a unit of the user who runs this command; leave out --user")
    options, absolute = start_options.read(options_of_start)
    start.refuse_engine(options.config.daemon)
    install.install(install.Wishes(user, name, user_unit, absolute, may_ask=not yes), options)
