"""`show` on a cluster."""

import json

from slot_machine.cli import entry
from slot_machine.cli.cluster import subject
from slot_machine.cli.cluster.history import fields
from slot_machine.core.errors import NoSuchAttempt
from slot_machine.host import printing


def run(number: int | None, *, as_json: bool) -> None:
    releases = subject.engine(subject.source()).releases()
    found = next((release for release in releases if number in (None, release.number)), None)
    if not found:
        what = f"the history has no entry {number}" if releases else "the history has no attempt yet"
        raise NoSuchAttempt(what, "`slot-machine history` lists them")
    if as_json:
        printing.result(json.dumps(fields(found)))
        return
    for line in entry.details(fields(found)):
        printing.result(line)
