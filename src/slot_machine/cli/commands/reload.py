"""`reload`."""

import sys

import click

from slot_machine.cli import render
from slot_machine.host import printing


@click.command("reload")
@click.option(
    "--all", "every", is_flag=True, help="Reload each running daemon of this user; for root those of all users."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(every: bool, as_json: bool) -> None:
    """Let the daemon go on with new code and configuration; nothing is stopped."""
    import json

    from slot_machine.cli import reloading

    results = reloading.every() if every else [reloading.one(render.client)]
    failed = any(result.error for result in results)
    if as_json:
        fields = [result.fields() for result in results]
        printing.result(json.dumps({"success": not failed, "daemons": fields} if every else fields[0]))
        sys.exit(failed)
    if not results:
        printing.note("no daemon of yours runs; others may run under other users")
    for result in results:
        which = f"{result.name}: " if every else ""
        for warning in result.warnings:
            printing.note(f"{which}warning: {warning}")
        if result.error and not every:
            render.fail(result.error, result.hint)
        if result.error:
            printing.note(f"{which}error: {result.error}")
            printing.note(f"{which}hint: {result.hint}")
        else:
            printing.result(f"{which}reloaded" + (f", version {result.version}" if every else ""))
    sys.exit(failed)
