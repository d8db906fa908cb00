"""`logs` on a cluster."""

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from slot_machine.cli.cluster import subject
from slot_machine.cli.log_format import check_that_somebody_reads
from slot_machine.engines.engine import Logs
from slot_machine.host import printing

LINES = 100
INTERRUPTED = 130
LINE = re.compile(r"(\d{4}-\d\d-\d\dT\S+) (\S+) (.*)", re.DOTALL)


def run(*, follow: bool, lines: int | None, since: float, process: str, as_json: bool, **_: object) -> None:
    subject.only("follow", "lines", "since", "process", "as_json")
    count = LINES if lines is None and not since else lines
    moment = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if since else ""
    wanted = Logs(process, count, moment, follow)
    shape: Callable[[str], str] = _as_json if as_json else str
    try:
        for line in subject.engine(subject.source()).logs(wanted):
            printing.result(shape(line))
            check_that_somebody_reads()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _as_json(line: str) -> str:
    """With the names that the logs of one machine have."""
    found = LINE.fullmatch(line)
    time, copy, text = found.groups() if found else (None, "", line)
    return json.dumps({"time": time, "copy": copy, "process": copy.partition(".")[0], "text": text})
