"""`doctor`."""

import sys

import click

from slot_machine.host import printing


@click.command("doctor")
@click.option("--json", "in_json", is_flag=True, help="Print what was found as JSON.")
@click.argument("options_of_start", metavar="[START_OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
def command(in_json: bool, options_of_start: tuple[str, ...]) -> None:
    """Check this machine and the app of this folder; say what to do. START_OPTIONS, after `--`, are those of `start`.

    Exits with 1 if something is wrong. A note is about something that works, with less than it could.
    """
    import json

    from slot_machine.cli.doctor import examine
    from slot_machine.cli.service import start_options

    findings = examine.all_checks(lambda: start_options.read(options_of_start)[0])
    if in_json:
        printing.result(json.dumps(examine.as_json(findings)))
    else:
        for line in examine.lines(findings):
            print(line)
    sys.exit(examine.any_wrong(findings))
