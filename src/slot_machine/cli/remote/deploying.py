"""`deploy` on servers: the commit is that of the repository here. A server that lacks it gets it pushed first."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from slot_machine.cli import here, progress, render, who
from slot_machine.cli.client import Json
from slot_machine.cli.commands import deploy
from slot_machine.cli.manner import Manner
from slot_machine.cli.progress import View
from slot_machine.cli.remote import failure, push, running, several, ssh
from slot_machine.cli.remote.call import Call, spoken
from slot_machine.core.errors import CommitNotFound, GitFailed
from slot_machine.core.hosts import Server
from slot_machine.core.origin import LONGEST_NAME
from slot_machine.host import printing

OF_HERE = ("--by", "--json", "--quiet", "--ref", "--stream")
"""Options that are obeyed here, or that a server gets with another value."""


class Wanted(NamedTuple):
    """`commit` is a full hash; outside of a repository, what was asked for. `words` are those of the deploy."""

    commit: str
    words: tuple[str, ...]
    warnings: tuple[str, ...]


def run(call: Call) -> int:
    """Returns the exit code. Raises SlotMachineError."""
    manner = Manner(
        call.text("by") or who.who(),
        call.text("message"),
        *(call.flag(name) for name in ("as_json", "stream", "quiet")),
    )
    wanted = _wanted(call, manner)
    if wanted.warnings and not manner.quiet and not manner.stream:
        printing.note(f"warning: {wanted.warnings[0]}")
    if len(call.servers) > 1:
        return several.deploy(call, manner, wanted.commit, lambda server, view: _deploy(server, wanted, manner, view))
    reply = _deploy(call.servers[0], wanted, manner, manner.view())
    render.fail_if_refused(reply)
    deploy.tell(manner, reply)
    return 0


def _wanted(call: Call, manner: Manner) -> Wanted:
    """Raises CommitNotFound, GitFailed."""
    if os.geteuid() == 0 and "SUDO_UID" in os.environ:
        raise GitFailed("under sudo, git would run hooks of this repository as root", "run it without sudo")
    asked = call.options.get("ref")
    commit = here.found(str(asked) if asked is not None else "HEAD")
    if commit == "HEAD" and asked is None:
        raise CommitNotFound("there is no git repository here", "go to one, or name a commit that the server has")
    ref = call.text("called") or (str(asked) if asked is not None else here.branch())
    options = call.words[: call.words.index("--")] if "--" in call.words else call.words
    words = (
        *(word for word in options if word.partition("=")[0] not in OF_HERE),
        *("--json", "--stream", "--if-known", f"--by={manner.by}"),
        *([f"--ref={ref[:LONGEST_NAME]}"] if ref else []),
        *("--", commit),
    )
    changed = here.changes() if asked is None else []
    return Wanted(commit, words, (deploy.uncommitted(changed),) if changed else ())


def _deploy(server: Server, wanted: Wanted, manner: Manner, view: View | None) -> Json:
    """Returns the reply. Raises SlotMachineError."""
    reply = _asked(server, wanted.words, view)
    # A daemon that was not reloaded since its upgrade does not say what it lacks.
    if reply.get("lacks_commit", reply.get("stage") == "resolve") and here.has(wanted.commit):
        push.push(server, wanted.commit, quiet=manner.quiet)
        reply = _asked(server, wanted.words, view)
    earlier = reply.get("warnings")
    return reply | {"warnings": [*wanted.warnings, *(earlier if isinstance(earlier, list) else ())]}


def _asked(server: Server, words: Sequence[str], view: View | None) -> Json:
    with ssh.begun(server, spoken(server, "deploy", *words), ssh.NO_INPUT, ssh.PIPE) as session:
        reply = progress.follow(_answers(server, session), view)
        if session.end() == failure.WRONG_USAGE:
            raise failure.outdated(server, str(reply.get("error", "")))
        return reply


def _answers(server: Server, session: ssh.Session) -> Iterator[Json]:
    """Ends with a reply. A line that is no JSON may come from a shell's start-up file. Raises RemoteFailed."""
    for line in session.lines():
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            yield answer
        else:
            print(line, end="", file=sys.stderr)
    code = session.end()
    running.check_program(server, code)
    raise failure.outdated(server) if code == failure.WRONG_USAGE else failure.silent(server, code)
