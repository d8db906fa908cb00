"""`history` on a cluster: the records that the cluster keeps, with the fields that a daemon's history has."""

import json
from datetime import datetime

from slot_machine.cli import entry
from slot_machine.cli.client import Json
from slot_machine.cli.cluster import subject
from slot_machine.engines.release import Release
from slot_machine.host import printing


def run(number: int, *, as_json: bool, **_: object) -> None:
    subject.only("number", "as_json")
    entries = [fields(release) for release in subject.engine(subject.source()).releases()[:number]]
    if as_json:
        printing.result(json.dumps(entries))
        return
    if not entries:
        printing.note("nothing has happened yet")
    for line in entry.table(entries) if entries else ():
        printing.result(line)


def fields(release: Release) -> Json:
    """`release` is the number of the release whose manifest is live after it."""
    ended = release.ended
    return {
        "id": release.number,
        "kind": release.kind,
        "trigger": "cli",
        "commit": release.commit,
        "started_at": release.started_at,
        "stage": ended.stage if ended else "",
        "result": release.result,
        "error": ended.error if ended else "",
        "seconds": _seconds(release.started_at, ended.ended_at) if ended else 0.0,
        "who": release.who,
        "message": release.message,
        "ref": release.ref,
        "subject": release.subject,
        "author": release.author,
        "release": release.target,
        "image": release.app.image,
    }


def _seconds(begun: str, ended: str) -> float:
    return max((datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds(), 0.0)
