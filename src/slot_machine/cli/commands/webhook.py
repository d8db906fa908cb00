"""`webhook`."""

import json

import click

from slot_machine.cli import forges, render
from slot_machine.core.errors import ConfigError
from slot_machine.host import printing


@click.command("webhook")
@click.option("--json", "as_json", is_flag=True, help="Print the webhook's fields of the status as JSON.")
def command(as_json: bool) -> None:
    """Print what a forge needs to call the webhook: address, content type, secret; and what came of its calls."""
    status = render.client().status()
    render.fail_if_refused(status)
    hook = status.get("webhook")
    if not isinstance(hook, dict):
        raise ConfigError("the daemon has no webhook", "set `webhook` and `webhook_port`: `slot-machine help follow`")
    if as_json:
        printing.result(json.dumps(hook))
        return
    for line in forges.lines(hook):
        printing.result(line)
    for line in forges.doubts(hook):
        printing.note(line)
