"""`engine`: the cluster that runs the app."""

import json
import sys
from collections.abc import Iterator

import click

from slot_machine.cli import words
from slot_machine.core.errors import SlotMachineError
from slot_machine.engines.engine import Engine, Finding
from slot_machine.host import printing

LABEL = 7


@click.group("engine")
def command() -> None:
    """Look at the cluster that `engine` in slot-machine.json names."""


@command.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
def check(as_json: bool) -> None:
    """Check the client of the cluster, its context, rights, registry and nodes; say what to do.

    Exits with 1 if a deploy can't work. A note is about something that works, with less than it could.
    """
    from slot_machine.cli.cluster import subject

    engine, wrong = subject.engine(subject.source()), False
    found = []
    for finding in _findings(engine):
        wrong |= level(finding) == "wrong"
        if as_json:
            found.append({"level": level(finding), "text": finding.what, "hint": finding.remedy})
            continue
        for line in lines(finding):
            printing.result(line)
    if as_json:
        printing.result(json.dumps({"success": not wrong, "checks": found}))
    sys.exit(wrong)


def level(finding: Finding) -> str:
    if not finding.remedy:
        return "ok"
    return "wrong" if finding.fatal else "note"


def lines(finding: Finding) -> Iterator[str]:
    """As wide as the terminal."""
    label = f"{level(finding):<{LABEL}}"
    for text in (finding.what, *([f"hint: {finding.remedy}"] if finding.remedy else [])):
        for part in text.splitlines():
            for line in words.wrap(part, words.columns() - LABEL):
                yield f"{label}{line}"
                label = " " * LABEL


def _findings(engine: Engine) -> Iterator[Finding]:
    """What can't be asked is a finding, too."""
    try:
        yield from engine.check()
    except SlotMachineError as error:
        yield Finding(str(error), error.hint or "see docs/engines.md")
