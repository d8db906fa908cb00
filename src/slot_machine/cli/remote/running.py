"""Runs a command on one server or on several ones, as it is: streams and exit code are those of the command there."""

import json
import os
import sys

import click

from slot_machine.cli.remote import failure, ssh
from slot_machine.cli.remote.call import Call
from slot_machine.core.errors import RemoteFailed
from slot_machine.core.hosts import Server
from slot_machine.host import printing

READ = ("exec", "env", "keys", "run")
"""Commands that read standard input. No other one gets it: a loop in a shell script may read its lines from there."""
OWN_CODES = ("exec", "run")
"""Commands whose exit code is that of another command."""
GO_ON = ("history", "list", "logs", "ls", "show", "stats", "status", "top", "version")
"""Commands that change nothing, so that one server's failure is no reason to leave out the next one."""
BEGIN_ATTEMPTS = ("promote", "restart", "rollback")
INTERRUPTED = 130


def run(call: Call) -> int:
    """Returns the exit code. Raises RemoteFailed, UsageError."""
    if len(call.servers) == 1:
        return _through(call, call.servers[0])
    if _follows(call) or call.name in OWN_CODES or (call.name == "logs" and call.flag("as_json")):
        raise click.UsageError(f"this `{call.name}` is for one server: name one by --host")
    return _each_in_json(call) if call.flag("as_json") else _each(call)


def check_program(server: Server, code: int) -> None:
    """Raises RemoteFailed if a command ended with that code because the server has no slot-machine."""
    if code == failure.NOT_FOUND:
        code, _ = ssh.captured(server, (server.program, "version"), ssh.NOWHERE)
        if code == failure.NOT_FOUND:
            raise failure.missing(server)


def _through(call: Call, server: Server) -> int:
    terminal = (_follows(call) or call.name in READ) and os.isatty(0) and os.isatty(1)
    try:
        code = ssh.through(server, call.on(server), terminal=terminal, reads=call.name in READ)
    except KeyboardInterrupt:
        if call.name in BEGIN_ATTEMPTS:
            raise
        return INTERRUPTED
    check_program(server, code)
    if code == failure.WRONG_USAGE and call.name not in OWN_CODES and not call.flag("as_json"):
        printing.note(f"hint: {failure.outdated(server).hint}")
    return code


def _follows(call: Call) -> bool:
    """Whether it goes on until somebody interrupts it."""
    top = call.name == "top" and not (call.flag("once") or call.flag("as_json"))
    return top or (call.name == "logs" and call.flag("follow")) or (call.name == "status" and call.flag("again"))


def _each(call: Call) -> int:
    worst = 0
    for place, server in enumerate(call.servers):
        if place:
            printing.result("")
        printing.result(f"== {server.host}")
        try:
            code = _through(call, server)
        except RemoteFailed as error:
            printing.note(f"error: {error}")
            printing.note(f"hint: {error.hint}")
            code = 1
        worst = max(worst, code)
        if code == INTERRUPTED or (code and call.name not in GO_ON):
            rest = [other.host for other in call.servers[place + 1 :]]
            if rest:
                printing.note(f"not begun: {', '.join(rest)}")
            break
    return worst


def _each_in_json(call: Call) -> int:
    """One document for all servers. What was not begun has no reply."""
    found: list[dict[str, object]] = []
    worst = 0
    for server in call.servers:
        if worst and call.name not in GO_ON:
            found.append({"host": server.host, "exit_code": None, "reply": None})
            continue
        code, reply = _reply(call, server)
        worst = max(worst, code)
        found.append({"host": server.host, "exit_code": code, "reply": reply})
    printing.result(json.dumps({"success": worst == 0, "hosts": found}))
    return worst


def _reply(call: Call, server: Server) -> tuple[int, object]:
    try:
        code, text = ssh.captured(server, call.on(server))
        check_program(server, code)
    except RemoteFailed as error:
        return 1, {"success": False, "error": str(error), "hint": error.hint}
    try:
        return code, json.loads(text.splitlines()[-1])
    except (ValueError, IndexError):
        print(text, end="", file=sys.stderr)
        return code or 1, {"success": False, "error": f"{server.host} did not answer in JSON", "hint": ""}
