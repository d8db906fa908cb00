"""`cancel` on a cluster: ends an attempt whose computer is gone."""

from slot_machine.cli import progress, render
from slot_machine.cli.cluster import subject
from slot_machine.engines import open as kinds
from slot_machine.engines.flow import Asked, Flow
from slot_machine.host import printing


def run(**_: object) -> None:
    subject.only()
    source = subject.source()
    flow = Flow(subject.engine(source), kinds.images(source.repo), source.name, Asked(), None)
    reply = progress.follow(flow.cancel())
    render.fail_if_refused(reply)
    if reply["complete"]:
        printing.result(f"the {reply['kind']} of {reply['commit']} had come to its end: it is live, and not cancelled")
    else:
        printing.result(f"cancelled the {reply['kind']} of {reply['commit']}")
