"""`receive`: for git, not for people."""

import click


@click.command("receive", hidden=True)
@click.option("--config", required=True, help="The daemon's configuration.")
@click.argument("hook", type=click.Choice(["proc-receive", "pre-receive"]))
def command(config: str, hook: str) -> None:
    """Be the hook of that name, as `init --push` has set it up."""
    from slot_machine.cli import target
    from slot_machine.cli.push import receive

    if hook == "pre-receive":
        receive.tell_of_shallow()
    receive.receive(target.of_file(config), config)
