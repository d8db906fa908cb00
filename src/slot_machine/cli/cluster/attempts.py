"""What `deploy`, `rollback` and `restart` share on a cluster: who asks, the progress, and the outcome."""

import json
import sys
from collections.abc import Iterator, Sequence

from slot_machine.cli import render, who
from slot_machine.cli.client import Json
from slot_machine.cli.manner import Manner
from slot_machine.engines.flow import Asked
from slot_machine.host import printing

INTERRUPTED = 130


def asked(manner: Manner, ref: str = "") -> Asked:
    return Asked(manner.by or who.who(), manner.message, ref)


def follow(manner: Manner, lines: Iterator[Json], warnings: Sequence[str] = ()) -> Json:
    """Shows the progress. Returns the reply if it succeeded; else prints it and exits."""
    reply = manner.shown(lines, warnings)
    if reply.get("interrupted"):
        if manner.as_json:
            printing.result(json.dumps(reply))
        else:
            printing.note(f"error: {reply['error']}")
        sys.exit(INTERRUPTED)
    render.fail_if_refused(reply)
    return reply
