"""`deploy`."""

import click

from slot_machine.cli import progress, render
from slot_machine.core.errors import SlotMachineError
from slot_machine.host import printing


@click.command("deploy")
@click.argument("commit", required=False)
@click.option("--setup", is_flag=True, help="Run the setup even if nothing has changed that it depends on.")
@click.option("--force", is_flag=True, help="Deploy even if the commit is live and nothing has changed.")
def command(commit: str | None, setup: bool, force: bool) -> None:
    """Deploy COMMIT, by default HEAD of the current folder's repository."""
    from slot_machine.cli import here

    client = render.client()
    try:
        resolved = here.resolved("HEAD" if commit is None else commit, render.user())
    except SlotMachineError:
        client.status()  # If no daemon runs, its error is more important.
        raise
    ref = commit or ""
    reply = progress.follow(client.deploy(resolved, setup=setup, if_changed=not setup and not force, ref=ref))
    render.fail_if_refused(reply)
    if reply.get("already_live"):
        printing.result(f"already live: {reply['commit']} in slot {reply['slot']}")
        printing.note("`slot-machine restart` starts it afresh, `slot-machine deploy --force` deploys it again")
        return
    printing.result(f"deployed {reply['commit']} to slot {reply['slot']}")
