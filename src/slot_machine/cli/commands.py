"""The commands, their options, and their exit codes. Results go to stdout, everything else to stderr."""

import sys
from pathlib import Path

import click

from slot_machine import SPEC_VERSION, __version__
from slot_machine.cli import progress, render
from slot_machine.cli.client import Client
from slot_machine.core.defaults import DATA_NAME, FILE_NAME, LARGEST_PORT
from slot_machine.core.errors import SlotMachineError
from slot_machine.host import printing

RELOAD_POLL_S = 0.05


class Commands(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"unknown command {args[0]!r}; there are: {', '.join(self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="slot-machine", message=f"%(prog)s %(version)s (spec {SPEC_VERSION})")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Blue-green deploys of one web app on one machine."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help().replace("Usage:", "usage:", 1), file=sys.stderr)
        ctx.exit(1)


@commands.command("init")
@click.option("--force", is_flag=True, help="Write slot-machine.json anew even if there is one.")
@click.option("--dry-run", "dry", is_flag=True, help="Print what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found, guessed and written as JSON.")
def init_(force: bool, dry: bool, as_json: bool) -> None:
    """Detect the project and write slot-machine.json."""
    from slot_machine.cli import init

    render.here()
    init.run(DATA_NAME, force=force, dry=dry, as_json=as_json)


@commands.command("start")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), default=FILE_NAME, help="Default: ./slot-machine.json"
)
@click.option(
    "--repo", type=click.Path(path_type=Path), help="The app's git repository. Default: the folder of the config"
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="The data folder. Default: `data` in the config, else <repo>/.slot-machine",
)
@click.option(
    "--api-port",
    "--port",
    type=click.IntRange(1, LARGEST_PORT),
    help="The port of the daemon's API, not of the app. Default: api_port in the config",
)
@click.option("--no-proxy", is_flag=True, help="The app owns its port; nothing stands in the data path.")
@click.option("--check", is_flag=True, help="Only read the configuration, and print what would be used.")
@click.option(
    "--rebuild-state", is_flag=True, help="Replace a damaged database by one made from the slots; it is kept aside."
)
def start_(
    config_file: Path,
    repo: Path | None,
    data: Path | None,
    api_port: int | None,
    no_proxy: bool,
    check: bool,
    rebuild_state: bool,
) -> None:
    """Run the daemon in the foreground."""
    if not check:
        # asyncio goes without TLS if it can't import it, which saves the daemon 1 MB of memory.
        sys.modules["ssl"] = None  # type: ignore[assignment]
    from slot_machine.cli import start

    printing.log_to_stderr()
    options = start.options(config_file, repo, data, api_port, proxy=not no_proxy, rebuild_state=rebuild_state)
    start.run(options, config_file, only_check=check)


@commands.command()
@click.argument("commit", required=False)
@click.option("--setup", is_flag=True, help="Run the setup even if nothing has changed that it depends on.")
@click.option("--force", is_flag=True, help="Deploy even if the commit is live and nothing has changed.")
def deploy(commit: str | None, setup: bool, force: bool) -> None:
    """Deploy COMMIT, by default HEAD of the current folder's repository."""
    from slot_machine.cli import here

    client = render.client()
    try:
        resolved = here.resolved("HEAD" if commit is None else commit, render.user())
    except SlotMachineError:
        client.status()  # If no daemon runs, its error is more important.
        raise
    reply = progress.follow(client.deploy(resolved, setup=setup, if_changed=not setup and not force))
    render.fail_if_refused(reply)
    if reply.get("already_live"):
        printing.result(f"already live: {reply['commit']} in slot {reply['slot']}")
        printing.note("`slot-machine deploy --force` deploys and starts it again")
        return
    printing.result(f"deployed {reply['commit']} to slot {reply['slot']}")


@commands.command()
def rollback() -> None:
    """Go back to the previous version."""
    reply = progress.follow(render.client().rollback())
    render.fail_if_refused(reply)
    printing.result(f"rolled back to {reply['commit']} in slot {reply['slot']}")


@commands.command()
@click.option("--force", is_flag=True, help="Even in the stage release: the database may be half migrated then.")
def cancel(force: bool) -> None:
    """End the deploy or rollback that runs; the live version stays."""
    reply = render.client().cancel(force=force)
    render.fail_if_refused(reply)
    stage = f" in stage {reply['stage']}" if reply["stage"] else ""
    printing.result(f"cancelled the {reply['kind']} of {reply['commit'] or '...'}{stage}")


@commands.command("reload")
def reload_() -> None:
    """Let the daemon go on with new code and configuration; nothing is stopped."""
    import time

    client = render.client()
    before = _reloads(client)
    render.fail_if_refused(client.reload())
    while _reloads(client) == before:
        time.sleep(RELOAD_POLL_S)
    printing.result("reloaded")


@commands.command()
def status() -> None:
    """Show what is live and how it is."""
    render.status()


@commands.command()
def version() -> None:
    """Print the version, and that of the spec it implements."""
    printing.result(f"slot-machine {__version__} (spec {SPEC_VERSION})")


def main() -> None:
    """The console script."""
    try:
        sys.exit(commands.main(standalone_mode=False))
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show(sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        printing.note("interrupted; a deploy that the daemon has begun goes on (`slot-machine cancel` ends it)")
        sys.exit(130)
    except SlotMachineError as error:
        render.fail(str(error), error.hint)
    except BrokenPipeError:
        render.nobody_reads()


def _reloads(client: Client) -> object:
    known = client.status()
    render.fail_if_refused(known)
    return known["reloads"]
