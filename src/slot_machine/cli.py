"""The command line: parse, render, exit codes. Results go to stdout, everything else to stderr."""

import os
import sys
from pathlib import Path

import click

from slot_machine import SPEC_VERSION, __version__, progress
from slot_machine.client import Client, Json
from slot_machine.core.errors import ConfigError, SlotMachineError

CONFIG_NAME = "slot-machine.json"
DATA_NAME = ".slot-machine"
DEFAULT_API_PORT = 9100


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
        click.echo(ctx.get_help().replace("Usage:", "usage:", 1), err=True)
        ctx.exit(1)


@commands.command()
@click.option("--force", is_flag=True, help="Write slot-machine.json anew even if there is one.")
def init(force: bool) -> None:
    """Detect the project and write slot-machine.json."""
    from slot_machine.core import config
    from slot_machine.host import detect

    folder = Path.cwd()
    path = folder / CONFIG_NAME
    if path.exists() and not force:
        click.echo(f"kept {path}, which exists (--force writes it anew)", err=True)
    else:
        try:
            found = detect.detect(folder)
        except ValueError as error:
            raise ConfigError(str(error), "correct it, then run init again") from None
        path.write_text(config.render(config.Config(**found._asdict())))
        click.echo(f"wrote {path}")
        if not found.start_command:
            click.echo("fill in start_command: found nothing that says how to start the app", err=True)
        if not found.setup_command:
            click.echo("fill in setup_command if the app needs a step after checkout, such as an install", err=True)
    detect.ignore_once(folder, DATA_NAME)


@commands.command()
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), default=CONFIG_NAME, help="Default: ./slot-machine.json"
)
@click.option(
    "--repo", type=click.Path(path_type=Path), help="The app's git repository. Default: the folder of the config"
)
@click.option("--data", type=click.Path(path_type=Path), help="Default: <repo>/.slot-machine")
@click.option("--port", type=click.IntRange(1, 65535), help="The API's port instead of api_port")
@click.option("--no-proxy", is_flag=True, help="The app owns its port; nothing stands in the data path.")
def start(config_file: Path, repo: Path | None, data: Path | None, port: int | None, no_proxy: bool) -> None:
    """Run the daemon in the foreground."""
    import asyncio
    import logging

    from slot_machine import daemon
    from slot_machine.core import config

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    options, warnings = config.parse(_read_config(config_file), config_file.name)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    if port:
        options = config.replaced(options, api_port=port)
    if no_proxy and options.strategy == "replace":
        raise ConfigError(
            'strategy "replace" needs the proxy, which holds the requests', "leave out --no-proxy, or strategy"
        )
    folder = config_file.resolve().parent
    repo = (repo or folder).resolve()
    asyncio.run(daemon.run(daemon.Options(options, folder, repo, (data or repo / DATA_NAME).resolve(), not no_proxy)))


@commands.command()
@click.argument("commit", required=False)
def deploy(commit: str | None) -> None:
    """Deploy COMMIT, by default HEAD of the current folder's repository."""
    reply = progress.follow(_client().deploy(_resolved("HEAD" if commit is None else commit)))
    _fail_if_refused(reply)
    click.echo(f"deployed {reply['commit']} to slot {reply['slot']}")


@commands.command()
def rollback() -> None:
    """Go back to the previous version."""
    reply = progress.follow(_client().rollback())
    _fail_if_refused(reply)
    click.echo(f"rolled back to {reply['commit']} in slot {reply['slot']}")


@commands.command()
def status() -> None:
    """Show what is live and how it is."""
    known = _client().status()
    _fail_if_refused(known)
    for name, value in known.items():
        if isinstance(value, dict):
            value = _attempt(value)
        click.echo(f"{name:<17}{str(value).lower() if isinstance(value, bool) else value}".rstrip())


@commands.command()
def version() -> None:
    """Print the version, and that of the spec it implements."""
    click.echo(f"slot-machine {__version__} (spec {SPEC_VERSION})")


def main() -> None:
    """The console script."""
    try:
        sys.exit(commands.main(standalone_mode=False))
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; a deploy that the daemon has begun goes on", err=True)
        sys.exit(130)
    except SlotMachineError as error:
        _fail(str(error), error.hint)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _read_config(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        where = f"in {path.parent.resolve()}" if path.name == CONFIG_NAME else f"at {path}"
        raise ConfigError(f"there is no {CONFIG_NAME} {where}", "run `slot-machine init` to write one") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({CONFIG_NAME}): {error.strerror}") from None


def _client() -> Client:
    """For the daemon that the nearest slot-machine.json names, here or in a parent folder."""
    here = Path.cwd()
    path = next((path for folder in (here, *here.parents) if (path := folder / CONFIG_NAME).is_file()), None)
    return Client(_api_port(path) if path else DEFAULT_API_PORT)


def _api_port(path: Path) -> int:
    """Reads no more than that one field, as `status` must answer fast."""
    import json

    try:
        port = json.loads(_read_config(path)).get("api_port", DEFAULT_API_PORT)
    except (ValueError, AttributeError):
        raise ConfigError(f"{path} is not a JSON object", "correct it") from None
    if not isinstance(port, int) or not 1 <= port <= 65535:
        raise ConfigError(f"{path}: api_port: expected a port from 1 to 65535, got {port!r}")
    return port


def _resolved(commitish: str) -> str:
    """As the current folder's repository understands it; the daemon decides on what it doesn't."""
    import subprocess

    if commitish.startswith("-"):
        return commitish
    argv = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commitish}^{{commit}}"]
    try:
        found = subprocess.run(argv, capture_output=True, text=True, check=False)
    except (OSError, ValueError):
        return commitish
    commit = found.stdout.strip()
    return commit if found.returncode == 0 and commit.isalnum() else commitish


def _attempt(attempt: Json) -> str:
    text = f"{attempt['kind']} of {str(attempt['commit'])[:8]} {attempt['result']} in stage {attempt['stage']}"
    return f"{text}: {attempt['error']}" if attempt["error"] else text


def _fail_if_refused(reply: Json) -> None:
    if reply.get("success") is False:
        stage = f"{reply['stage']}: " if reply.get("stage") else ""
        _fail(f"{stage}{reply.get('error', '')}", str(reply.get("hint", "")))


def _fail(error: str, hint: str) -> None:
    click.echo(f"error: {error}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
