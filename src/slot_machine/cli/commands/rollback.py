"""`rollback`."""

import click

from slot_machine.cli import render
from slot_machine.cli.manner import AttemptCommand, Manner


@click.command("rollback", cls=AttemptCommand)
@click.argument("to", required=False, metavar="[COMMIT|ID]")
@click.pass_obj
def command(manner: Manner, to: str | None) -> None:
    """Go back to the previous version, or to that of a COMMIT or of the ID of an attempt in the history."""
    if to == "":
        raise click.UsageError("'' is no commit and no ID")
    client = render.client()
    reply = manner.follow(client.rollback(to or "", by=manner.by, message=manner.message))
    branch = "" if manner.as_json or manner.quiet else client.status().get("push_branch")
    commit = str(reply["commit"])[:8]
    hint = (
        f"{branch} is at {commit} again; a push of {branch} deploys what it pushes, also what was taken back.\n"
        f"`slot-machine deploy COMMIT` goes to any other one"
    )
    manner.tell(reply, f"rolled back to {reply['commit']} in slot {reply['slot']}", hint if branch else "")
