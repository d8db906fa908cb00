"""A deploy on several servers, one after the other. The first failure ends it."""

import json
from collections.abc import Callable, Iterable
from typing import NamedTuple

from slot_machine.cli.client import Json
from slot_machine.cli.commands import deploy as command
from slot_machine.cli.manner import Manner
from slot_machine.cli.progress import View
from slot_machine.cli.remote import ssh
from slot_machine.cli.remote.call import Call, spoken
from slot_machine.core.errors import ConnectionLost, SlotMachineError
from slot_machine.core.hosts import Server
from slot_machine.host import printing

Deploy = Callable[[Server, View | None], Json]


class Result(NamedTuple):
    """`what` is `deployed`, `failed`, `unknown`, `not begun`, `taken back`, or `not taken back`.

    It is unknown what becomes of a deploy whose connection was lost, because the daemon goes on.
    """

    server: Server
    what: str
    reply: Json

    def fields(self) -> Json:
        return {"host": self.server.host, "result": self.what, "reply": self.reply or None}


class OfServer:
    """Events as lines of JSON, each with the server that it is of."""

    def __init__(self, host: str) -> None:
        self._host = host

    def show(self, line: Json) -> None:
        if "stage" in line:
            printing.result(json.dumps({"host": self._host} | line))

    def close(self) -> None:
        pass


def deploy(call: Call, manner: Manner, commit: str, one: Deploy) -> int:
    """Returns the exit code. With `all_or_nothing`, a failure takes back what the earlier servers did."""
    results: list[Result] = []
    try:
        for server in call.servers:
            results.append(_on(server, manner, one))
            if results[-1].what != "deployed":
                break
    except KeyboardInterrupt:
        _note_hosts("not begun", call.servers[len(results) + 1 :])
        raise
    failed = results[-1] if results[-1].what != "deployed" else None
    rest = call.servers[len(results) :]
    if failed and call.flag("all_or_nothing"):
        results = [*_taken_back(manner, results[:-1], failed.server), _cancelled(failed, commit)]
    _note_hosts("not begun", rest)
    if manner.as_json:
        everything = [*results, *(Result(server, "not begun", {}) for server in rest)]
        document = {"success": not failed, "hosts": [result.fields() for result in everything]}
        printing.result(json.dumps(document))
    return 1 if failed else 0


def _on(server: Server, manner: Manner, one: Deploy) -> Result:
    if not manner.quiet and not manner.as_json:
        printing.note(f"== {server.host}")
    lost = False
    try:
        reply = one(server, OfServer(server.host) if manner.stream else manner.view())
    except SlotMachineError as error:
        reply = {"success": False, "error": str(error), "hint": error.hint}
        lost = isinstance(error, ConnectionLost)
    if reply.get("success") is True:
        if not manner.as_json:
            printing.result(f"{server.host}: {command.in_words(reply)}")
            if (hint := command.hint(reply)) and not manner.quiet:
                printing.note(hint)
        return Result(server, "deployed", reply)
    _note_failure(server, reply)
    return Result(server, "unknown" if lost else "failed", reply)


def _cancelled(result: Result, commit: str) -> Result:
    """A deploy whose connection was lost, if it goes on. Another one that runs there is somebody else's."""
    server = result.server
    if result.what != "unknown":
        return result
    try:
        status = json.loads(ssh.captured(server, spoken(server, "status", "--json"))[1])
        goes_on = status["running"] and status["last_attempt"]["commit"] == commit
        if goes_on and ssh.captured(server, spoken(server, "cancel"))[0] == 0:
            return result._replace(what="failed")
    except SlotMachineError as error:
        printing.note(f"error: {error}")
    except (ValueError, LookupError, TypeError):
        pass
    printing.note(f"hint: it is unknown what is live on {server.host}")
    return result


def _taken_back(manner: Manner, done: Iterable[Result], failed: Server) -> list[Result]:
    """The latest one first."""
    why = f"the deploy on {failed.host} failed"
    found = [_back(manner, result, why) for result in reversed(list(done))]
    return found[::-1]


def _back(manner: Manner, result: Result, why: str) -> Result:
    server, _, reply = result
    asked = (f"--by={manner.by}", f"--message={why}", "--json")
    if reply.get("already_live"):
        return result
    if not reply.get("held") and not reply.get("previous_commit"):
        printing.note(f"error: {server.host} was not rolled back: nothing was live before")
        return result._replace(what="not taken back")
    words = ("abort", *asked) if reply.get("held") else ("rollback", *asked, "--", str(reply["previous_commit"]))
    try:
        _, text = ssh.captured(server, spoken(server, *words))
        answer = json.loads(text.splitlines()[-1])
    except SlotMachineError as error:
        answer = {"success": False, "error": str(error), "hint": error.hint}
    except (ValueError, IndexError):
        answer = {"success": False, "error": f"{words[0]} gave no answer"}
    if not answer.get("success"):
        _note_failure(server, {**answer, "error": f"not rolled back: {answer.get('error')}"})
        return result._replace(what="not taken back")
    said = "aborted" if reply.get("held") else f"rolled back to {reply['previous_commit']}"
    printing.note(f"{server.host}: {said}")
    return result._replace(what="taken back")


def _note_failure(server: Server, reply: Json) -> None:
    stage = f"{reply['stage']}: " if reply.get("stage") else ""
    printing.note(f"error: {server.host}: {stage}{reply.get('error')}")
    if reply.get("hint"):
        printing.note(f"hint: {reply['hint']}")


def _note_hosts(what: str, servers: Iterable[Server]) -> None:
    if hosts := ", ".join(server.host for server in servers):
        printing.note(f"{what}: {hosts}")
