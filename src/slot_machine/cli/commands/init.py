"""`init`."""

from pathlib import Path

import click

from slot_machine.cli import target
from slot_machine.core.defaults import DATA_NAME


@click.command("init")
@click.option("--force", is_flag=True, help="Write slot-machine.json anew even if there is one.")
@click.option("--dry-run", "dry", is_flag=True, help="Print what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found, guessed and written as JSON.")
@click.option("--push", is_flag=True, help="On a server: set up a repository whose pushes are deployed.")
@click.option(
    "--config", type=click.Path(path_type=Path, exists=True), help="With --push: the daemon's file, if elsewhere."
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
def command(force: bool, dry: bool, as_json: bool, push: bool, config: Path | None, path: Path | None) -> None:
    """Detect the project and write slot-machine.json.

    With --push, PATH is the repository, such as /srv/shop.git; it is made if there is none. Default: the current
    folder.
    """
    if (path or config) and not push:
        raise click.UsageError("a PATH and --config go with --push")
    if push and (force or dry):
        raise click.UsageError("--push goes with neither --force nor --dry-run")
    target.here()
    if push:
        from slot_machine.cli.push import report, set_up

        report.report(set_up.set_up(path or Path(), config), as_json=as_json)
        return
    from slot_machine.cli import init

    init.run(DATA_NAME, force=force, dry=dry, as_json=as_json)
