"""`restart` on a cluster."""

import click

from slot_machine.cli.cluster import attempts, subject
from slot_machine.cli.manner import Manner
from slot_machine.engines import open as kinds
from slot_machine.engines.flow import Flow


@click.pass_obj
def run(manner: Manner) -> None:
    source = subject.source()
    flow = Flow(subject.engine(source), kinds.images(source.repo), source.name, attempts.asked(manner), source.values())
    reply = attempts.follow(manner, flow.restart(source.daemon), source.warnings)
    manner.tell(reply, f"restarted {reply['commit']} of {source.name}")
