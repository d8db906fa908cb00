"""`cancel` on a cluster: ends an attempt whose computer is gone."""

import json

from slot_machine.cli import progress, render
from slot_machine.cli.cluster import subject
from slot_machine.engines import open as kinds
from slot_machine.engines.flow import Asked, Flow
from slot_machine.host import printing


def run(*, as_json: bool, **_: object) -> None:
    subject.only("as_json")
    source = subject.source()
    flow = Flow(subject.engine(source), kinds.images(source.repo), source.name, Asked(), None)
    reply = progress.follow(flow.cancel())
    render.fail_if_refused(reply)
    what = f"the {reply['kind']} of {reply['commit']}"
    said = f"{what} had come to its end: it is live, and not cancelled" if reply["complete"] else f"cancelled {what}"
    printing.result(json.dumps(reply) if as_json else said)
