"""`export`: the app as files that an engine takes."""

import json
from pathlib import Path

import click

from slot_machine.host import printing

KINDS = ("swarm", "kubernetes", "dockerfile")
FOLDER = "slot-machine-export"


@click.command("export")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("folder", required=False, metavar="[DIR]")
@click.option("--with-secrets", is_flag=True, help="Write the values of env_file, too: keep that file out of git.")
@click.option("--with-release", is_flag=True, help="For kubernetes: write the Job of the release command, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the names of the files as one JSON object.")
def command(kind: str, folder: str | None, with_secrets: bool, with_release: bool, as_json: bool) -> None:
    """Write what `deploy` would give to an engine as files, of the commit that is checked out.

    For those who keep such files in git. DIR is slot-machine-export/KIND in the current folder by default.
    """
    from slot_machine.cli.cluster import exporting
    from slot_machine.engines.export import files as written

    if with_release and kind != "kubernetes":
        raise click.UsageError("--with-release is for kubernetes")
    target = Path(folder or f"{FOLDER}/{kind}")
    files, warnings = exporting.files(kind, target, with_secrets=with_secrets, with_release=with_release)
    gone = written.write(target, files)
    names = [str(target / name) for name in sorted(files)]
    if as_json:
        printing.result(json.dumps({"success": True, "files": names, "removed": gone, "warnings": warnings}))
        return
    for warning in warnings:
        printing.note(f"warning: {warning}")
    for name in names:
        printing.result(name)
    for name in gone:
        printing.note(f"removed {target / name}: the app has it no more")
