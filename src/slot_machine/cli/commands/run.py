"""`run`, also called `exec`."""

import sys

import click

from slot_machine.cli import render
from slot_machine.host import printing


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option(
    "--process-env",
    "process",
    metavar="NAME",
    default="",
    help="With the variables of this process, too: PROCESS of a worker, PORT of `web`.",
)
@click.option("--previous", is_flag=True, help="In the previous version's folder.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND]...")
def command(process: str, previous: bool, words: tuple[str, ...]) -> None:
    """Run COMMAND in the live version's folder, with the app's environment. Without one, a shell."""
    from slot_machine.cli import one_off
    from slot_machine.host.process.foreground import CannotRun

    client = render.client()
    reply = client.run(one_off.name_of(words), process, previous=previous)
    render.fail_if_refused(reply)
    try:
        code = one_off.run(client, words, reply)
    except CannotRun as error:
        printing.note(f"error: {error}")
        if error.hint:
            printing.note(f"hint: {error.hint}")
        code = error.code
    sys.exit(code)
