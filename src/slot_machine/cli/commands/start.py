"""`start`."""

import sys
from pathlib import Path

import click

from slot_machine.core.defaults import FILE_NAME, LARGEST_PORT
from slot_machine.host import printing


@click.command("start")
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
def command(
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
    printing.log_to_stderr(options.config.daemon.name or "")
    start.run(options, config_file, only_check=check)
