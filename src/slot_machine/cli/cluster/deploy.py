"""`deploy` on a cluster."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from slot_machine.cli import here
from slot_machine.cli.client import Json
from slot_machine.cli.cluster import attempts, subject
from slot_machine.cli.commands.deploy import uncommitted
from slot_machine.cli.manner import Manner
from slot_machine.core.errors import CommitNotFound, SlotMachineError
from slot_machine.core.origin import Origin
from slot_machine.engines import open as kinds
from slot_machine.engines.flow import Flow
from slot_machine.engines.source import Source


@click.pass_obj
def run(manner: Manner, /, ref: str | None, *, force: bool, called: str, **_: object) -> None:
    subject.only("ref", "force", "called")
    subject.check_owner()
    source = subject.source()
    changed = here.changes() if ref is None else []
    lines = _lines(manner, source, "HEAD" if ref is None else ref, called or ref or "", force=force)
    reply = attempts.follow(manner, lines, [uncommitted(changed)] if changed else [])
    hint = ""
    if reply.get("already_live"):
        hint = "`slot-machine restart` starts its copies afresh; `deploy --force` deploys it again"
    manner.tell(reply, in_words(reply, source), hint)


def in_words(reply: Json, source: Source) -> str:
    done = "already live:" if reply.get("already_live") else "deployed"
    return f"{done} {reply['commit']} as release {reply['release']} of {source.name}"


def _found(commitish: str) -> str:
    """Its full hash. Raises CommitNotFound, GitFailed."""
    with suppress(CommitNotFound):
        commit = here.found(commitish)
        if re.fullmatch(here.HASH, commit) and here.has(commit):
            return commit
    what = f"{commitish!r} is not a commit in {Path.cwd()}"
    raise CommitNotFound(what, "go to the app's repository, and commit or fetch it there")


def _lines(manner: Manner, source: Source, commitish: str, called: str, *, force: bool) -> Iterator[Json]:
    """What can't be found or read is told as the failure of a stage, as a daemon does."""
    try:
        commit = _found(commitish)
        values = source.values()
        app, description, warnings = source.app(commit, values)
    except SlotMachineError as error:
        yield {"success": False, "stage": error.stage, "error": str(error), "hint": error.hint, "warnings": []}
        return
    ref = Origin(ref=called).naming(commitish, commit).ref
    flow = Flow(subject.engine(source), kinds.images(source.repo), source.name, attempts.asked(manner, ref), values)
    yield from flow.deploy(app, description, warnings, force=force)
