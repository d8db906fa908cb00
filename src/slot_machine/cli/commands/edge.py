"""`edge`: HTTPS for the domains of all apps of this machine."""

import sys
from pathlib import Path

import click

from slot_machine.host import printing

WRONG = ("failed", "overdue")
in_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Default: /etc/slot-machine/edge.json; for a swarm, edge.json beside slot-machine.json.",
)
image = click.option("--image", default="", help="Of Traefik, for a swarm. Default: that of edge.json.")
api_image = click.option("--api-image", default="", help="Of HAProxy, for a swarm. Default: that of edge.json.")


@click.group("edge")
def command() -> None:
    """Serve the domains of all apps of this machine, or of the swarm that `engine` names, over HTTPS."""


@command.command("start")
@config
@click.option("--check", is_flag=True, hidden=True, help="Only check the settings, for a reload.")
def start(config: Path | None, check: bool) -> None:
    """Run the edge in the foreground: Traefik, with the routes and certificates that the apps need."""
    # As in the daemon: nothing here needs TLS, which is Traefik's business.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio

    from slot_machine.edge import reload, run, settings

    given = settings.read(settings.file_of(config), required=config is not None)
    if check:
        printing.result(reload.answer(given).decode())
        return
    printing.log_to_stderr("edge")
    if handed := asyncio.run(run.run(given)):
        reload.again(handed)


@command.command("status")
@in_json
def status(as_json: bool) -> None:
    """Show all domains, their apps and certificates. Root sees those of all users. Exits with 3 if one is wrong."""
    _show("status", as_json=as_json)


@command.command("check")
@in_json
def check(as_json: bool) -> None:
    """Look at once whether the domains that wait lead here, and show what is in the way, such as Cloudflare's mode."""
    _show("probe", as_json=as_json)


@command.command("install")
@config
@image
@api_image
def install(config: Path | None, image: str, api_image: str) -> None:
    """Let systemd run the edge, now and from each boot on. With `engine`, let the swarm run it."""
    if image or api_image:
        raise click.UsageError("--image and --api-image are for a swarm, and slot-machine.json has no `engine`")
    from slot_machine.cli.service import edge_unit
    from slot_machine.edge import settings

    edge_unit.install(settings.read(settings.file_of(config), required=config is not None), config)


@command.command("remove")
@click.argument("domain")
def remove(domain: str) -> None:
    """Take DOMAIN, and all other domains of its app, from the edge."""
    from slot_machine.edge import link
    from slot_machine.edge.wire import Request

    link.ask(Request(op="remove", domain=domain))
    printing.result(f"removed {domain}")


@command.command("upgrade")
def upgrade() -> None:
    """Go on with the slot-machine, the Traefik and the edge.json of now, without closing a port.

    A new Traefik takes the place of the running one, which serves its open connections to their end.
    """
    from slot_machine.edge import link
    from slot_machine.edge.static import GRACE
    from slot_machine.edge.wire import Request

    reply = link.ask(Request(op="renew"))
    printing.result(f"Traefik {reply.traefik} serves")
    if reply.old_connections:
        count = reply.old_connections
        printing.note(
            f"{count} connections, such as WebSockets, stay with the replaced one; after {GRACE} it cuts them"
        )


@command.command("uninstall")
def uninstall() -> None:
    """Remove the edge from the swarm that `engine` names. Its certificates stay in their volume."""
    from slot_machine.cli.service.edge_unit import NAME

    hint = f"on one machine, `systemctl disable --now {NAME}` ends it"
    raise click.UsageError(f"this is for a swarm, and slot-machine.json has no `engine`: {hint}")


def _show(op: str, *, as_json: bool) -> None:
    import msgspec

    from slot_machine.cli import edge_status
    from slot_machine.edge import link
    from slot_machine.edge.wire import Request

    reply = link.ask(msgspec.convert({"op": op}, Request))
    if op == "probe":
        from slot_machine.cli import edge_visit

        reply = edge_visit.visited(reply)
    if as_json:
        printing.result(msgspec.json.encode({"success": True, "apps": reply.apps, "traefik": reply.traefik}).decode())
    else:
        for line in edge_status.lines(reply):
            printing.result(line)
    if any(domain.state in WRONG for app in reply.apps for domain in app.domains):
        raise SystemExit(3)
