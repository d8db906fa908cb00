"""`rollback` on a cluster."""

import click

from slot_machine.cli.cluster import attempts, subject
from slot_machine.cli.manner import Manner
from slot_machine.core.errors import EnvFileError
from slot_machine.engines import open as kinds
from slot_machine.engines.flow import Flow


@click.pass_obj
def run(manner: Manner, to: str | None) -> None:
    if to == "":
        raise click.UsageError("'' is no commit and no ID")
    source = subject.source()
    values, warnings = None, list(source.warnings)
    try:
        values = source.values()
    except EnvFileError as error:  # A version whose variables the cluster still has needs none.
        warnings.append(str(error))
    flow = Flow(subject.engine(source), kinds.images(source.repo), source.name, attempts.asked(manner), values)
    reply = attempts.follow(manner, flow.rollback(source.daemon, to or ""), warnings)
    manner.tell(reply, f"rolled back to {reply['commit']} of {source.name}")
