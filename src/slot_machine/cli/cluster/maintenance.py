"""`maintenance` on a cluster."""

from slot_machine.cli.cluster import subject
from slot_machine.host import printing


def run_on(message: str) -> None:  # noqa: ARG001 - the command's own option, which is refused
    subject.only()
    subject.engine(subject.source()).maintain(on=True)
    printing.result("under maintenance; `slot-machine maintenance off` ends it")


def run_off() -> None:
    subject.engine(subject.source()).maintain(on=False)
    printing.result("no maintenance any more")
