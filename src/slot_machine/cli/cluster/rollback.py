"""`rollback` on a cluster."""

import click

from slot_machine.cli.cluster import attempts, subject
from slot_machine.cli.manner import Manner
from slot_machine.engines import open as kinds
from slot_machine.engines.flow import Flow


@click.pass_obj
def run(manner: Manner, to: str | None) -> None:
    if to == "":
        raise click.UsageError("'' is no commit and no ID")
    source = subject.source()
    flow = Flow(subject.engine(source), kinds.images(source.repo), source.name, attempts.asked(manner), source.values())
    reply = attempts.follow(manner, flow.rollback(source.daemon, to or ""), source.warnings)
    manner.tell(reply, f"rolled back to {reply['commit']} of {source.name}")
