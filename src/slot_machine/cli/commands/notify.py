"""`notify`."""

import sys

import click

from slot_machine.cli import render
from slot_machine.host import printing


@click.group("notify")
def command() -> None:
    """Notices of deploys and crashes."""


@command.command("test")
def test() -> None:
    """Send a test to each address in `notify`, and say what came of it."""
    reply = render.client().test_notices()
    render.fail_if_refused(reply)
    receivers = reply["notify"]
    assert isinstance(receivers, list)
    if not receivers:
        render.fail(
            "nobody is told: `notify` in the configuration is empty", "add an address, then `slot-machine reload`"
        )
    for receiver in receivers:
        printing.result(f"{receiver['target']}: {receiver['error'] or 'told'}")
    sys.exit(1 if any(receiver["error"] for receiver in receivers) else 0)
