"""`deploy`."""

import click

from slot_machine.cli import render
from slot_machine.cli.client import Client, Json
from slot_machine.cli.manner import WATCH_GOES_ON, AttemptCommand, Manner
from slot_machine.cli.words import PREVIEW
from slot_machine.core.errors import Impossible, SlotMachineError

SHOWN_FILES = 3


@click.command("deploy", cls=AttemptCommand)
@click.argument("ref", required=False)
@click.option("--setup", is_flag=True, help="Run the setup even if nothing has changed that it depends on.")
@click.option("--force", is_flag=True, help="Deploy even if the commit is live and nothing has changed.")
@click.option(
    "--wait", is_flag=True, help="Wait until another deploy has ended. Only the latest one that waits goes on."
)
@click.option(
    "--hold",
    is_flag=True,
    help="Stop when it is healthy, before visitors get it: `promote` makes it live, `abort` ends it.",
)
@click.option(
    "--hold-after-release",
    is_flag=True,
    help="Hold it after a release_command, too: the live version works with its changes.",
)
@click.option(
    "--ref", "called", default="", metavar="NAME", help="By which branch or tag REF was found, for the history."
)
@click.option(
    "--all-or-nothing", is_flag=True, help="With several servers: if one fails, roll back on those before it."
)
@click.option("--if-known", is_flag=True, hidden=True)
@click.option("--detach", is_flag=True, help="Return at the switch, if the version is watched after it.")
@click.pass_obj
def command(
    manner: Manner,
    ref: str | None,
    setup: bool,
    force: bool,
    wait: bool,
    hold: bool,
    hold_after_release: bool,
    called: str,
    all_or_nothing: bool,
    if_known: bool,
    detach: bool,
) -> None:
    """Deploy REF (a branch, a tag or a hash), by default HEAD of the current folder's repository."""
    from slot_machine.cli import here

    if all_or_nothing:
        raise click.UsageError("--all-or-nothing is for several servers: name them by --to or --host")
    client, user = render.client(), render.user()
    resolved = _resolved(client, "HEAD" if ref is None else ref, user)
    hold = hold or hold_after_release
    if hold:
        check_holds(client.status())
    lines = client.deploy(
        resolved,
        setup=setup,
        if_changed=not setup and not force,
        by=manner.by,
        message=manner.message,
        ref=called or ref or "",
        wait=wait,
        hold=hold,
        hold_after_release=hold_after_release,
        if_known=if_known,
        detach=detach,
    )
    changed = here.uncommitted(user) if ref is None else []
    reply = manner.follow(lines, [uncommitted(changed)] if changed else [])
    tell(manner, reply)


def _resolved(client: Client, ref: str, user: str) -> str:
    """Raises SlotMachineError. If no daemon runs, its error is more important."""
    from slot_machine.cli import here

    try:
        return here.resolved(ref, user)
    except SlotMachineError:
        client.status()
        raise


def check_holds(status: Json) -> None:
    """A daemon of an earlier release would not understand, and let the version go live. Raises Impossible."""
    render.fail_if_refused(status)
    if "candidate" not in status:
        what = f"the daemon runs slot-machine {status.get('version', '')}, which can't hold a version"
        raise Impossible(what, "`slot-machine reload` lets it go on with the release that is installed")


def tell(manner: Manner, reply: Json) -> None:
    """What a deploy that succeeded came to."""
    manner.tell(reply, in_words(reply), hint(reply))


def hint(reply: Json) -> str:
    """What to do next."""
    if reply.get("already_live"):
        return (
            "`slot-machine restart` starts it afresh, as after a change of env_file;\n`deploy --force` deploys it again"
        )
    if reply.get("held"):
        link = reply.get("preview_url")
        preview = f"preview: {link}\n{PREVIEW}\n" if link else ""
        return f"{preview}`slot-machine promote` makes it live, `slot-machine abort` ends it"
    return WATCH_GOES_ON if reply.get("watched") else ""


def in_words(reply: Json) -> str:
    done = "already live:" if reply.get("already_live") else "held" if reply.get("held") else "deployed"
    return f"{done} {reply['commit']} {'to' if done == 'deployed' else 'in'} slot {reply['slot']}"


def uncommitted(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    return f"not committed, so not deployed: {', '.join(names[:SHOWN_FILES])}{more}"
