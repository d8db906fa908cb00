"""`reload`."""

import time

import click

from slot_machine.cli import render
from slot_machine.cli.client import Client
from slot_machine.host import printing

POLL_S = 0.05


@click.command("reload")
def command() -> None:
    """Let the daemon go on with new code and configuration; nothing is stopped."""
    client = render.client()
    before = _reloads(client)
    render.fail_if_refused(client.reload())
    while _reloads(client) == before:
        time.sleep(POLL_S)
    printing.result("reloaded")


def _reloads(client: Client) -> object:
    known = client.status()
    render.fail_if_refused(known)
    return known["reloads"]
