"""`abort`."""

import json

import click

from slot_machine.cli import render
from slot_machine.host import printing


@click.command("abort")
@click.option("--by", default="", metavar="NAME", help="Who asks, for the history. Default: the current user.")
@click.option("-m", "--message", default="", metavar="TEXT", help="Why, for the history.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def command(by: str, message: str, as_json: bool) -> None:
    """End the version that `deploy --hold` holds, also if it is still on its way or has a share.

    During a watch, go back to the old version.
    """
    reply = render.client().abort(by=by, message=message)
    render.fail_if_refused(reply)
    state = str(reply["state"])
    was = {"failed": "had failed", "sharing": "had a share", "": "was on its way"}.get(state, f"was {state}")
    said = f"aborted {reply['commit'] or '...'}, which {was}"
    printing.result(json.dumps(reply) if as_json else said)
