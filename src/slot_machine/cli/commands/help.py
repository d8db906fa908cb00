"""`help`."""

import click


@click.command("help")
@click.argument("topic", required=False)
@click.pass_context
def command(ctx: click.Context, topic: str | None) -> None:
    """Show the help of a command, or a page of the manual. Without TOPIC, list them."""
    from slot_machine.cli import manual

    manual.show(ctx, topic)
