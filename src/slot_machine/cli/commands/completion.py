"""`completion`."""

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what completes commands, options and names of apps in a SHELL."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    assert complete is not None
    print(complete(ctx.find_root().command, {}, "slot-machine", "_SLOT_MACHINE_COMPLETE").source(), end="")
