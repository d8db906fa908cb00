"""`status`, and what all commands share. `status` must answer fast, so this module imports almost nothing."""

import json
import os
import sys

from slot_machine.cli import target
from slot_machine.cli.client import Client, Json
from slot_machine.core.errors import SlotMachineError
from slot_machine.host import printing

TYPE_CHECKING = False  # typing's own takes 3 ms to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def main() -> None:
    """Runs `slot-machine status` without the library that parses the other commands."""
    try:
        status()
    except SlotMachineError as error:
        fail(str(error), error.hint)
    except BrokenPipeError:
        nobody_reads()


def status() -> None:
    """Raises SlotMachineError."""
    known = client().status()
    fail_if_refused(known)
    for name, value in known.items():
        for number, words in enumerate(_in_words(name, value)):
            printing.result(f"{'' if number else name:<17}{words}".rstrip())


def client() -> Client:
    """A client of the daemon that the command is about. Raises ConfigError."""
    return target.client()


def user() -> str:
    """The field `user` of the nearest slot-machine.json; empty if it is not set. Raises ConfigError."""
    return target.user()


def fail_if_refused(reply: Json) -> None:
    if reply.get("success") is False:
        stage = f"{reply['stage']}: " if reply.get("stage") else ""
        fail(f"{stage}{reply.get('error', '')}", str(reply.get("hint", "")))


def fail(error: str, hint: str) -> "NoReturn":
    try:
        printing.note(f"error: {error}")
        if hint:
            printing.note(f"hint: {hint}")
    except OSError:
        pass  # stderr is closed.
    sys.exit(1)


def nobody_reads() -> "NoReturn":
    """Exits after a BrokenPipeError, and keeps the interpreter from raising it again when it flushes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def _in_words(name: str, value: object) -> "list[str]":
    """The lines that a field of the status takes."""
    if name == "live_config" and isinstance(value, dict):
        return [json.dumps({field: setting for field, setting in value.items() if setting})]
    if name == "shared" and isinstance(value, dict):
        return [f"{path} {state}" for path, state in value.items()] or [""]
    if isinstance(value, dict):
        return [_attempt(value)]
    if isinstance(value, list):
        return [LISTED[name](entry) if name in LISTED else str(entry) for entry in value] or [""]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def _side_run(run: Json) -> str:
    words = f"{_numbered(run)} {run['state']}"
    if run["pid"]:
        words += f", pid {run['pid']}, {run['memory_mb']} MB"
    if run["restarts"]:
        words += f", started again {run['restarts']} times"
    return f"{words}: {run['last_exit']}" if run["last_exit"] else words


def _retiring(run: Json) -> str:
    words = f"{_numbered(run)} of {str(run['commit'])[:8]} in slot {run['slot']} {run['state']} for {run['age_s']} s"
    return f"{words}, pid {run['pid']}, {run['memory_mb']} MB"


def _numbered(run: Json) -> str:
    return f"{run['name']} {run['index']}"


def _job(job: Json) -> str:
    words = f"{job['name']} ({job['schedule']}) next {job['next'] or 'never'}"
    if job["overdue"]:
        words += ", which is overdue"
    return f"{words}; last {job['last']} {job['result']}" if job["last"] else f"{words}; it has not run yet"


def _receiver(receiver: Json) -> str:
    if receiver["error"]:
        return f"{receiver['target']} failed: {receiver['error']}"
    return f"{receiver['target']} told at {receiver['last']}" if receiver["last"] else str(receiver["target"])


def _one_off(run: Json) -> str:
    return f"run {run['program']} in {str(run['commit'])[:8]} in slot {run['slot']}, pid {run['pid']}"


LISTED: "dict[str, Callable[[Json], str]]" = {
    "processes": _side_run,
    "retiring": _retiring,
    "jobs": _job,
    "one_offs": _one_off,
    "notify": _receiver,
}


def _attempt(attempt: Json) -> str:
    text = f"{attempt['kind']} of {str(attempt['commit'])[:8]} {attempt['result']} in stage {attempt['stage']}"
    return f"{text}: {attempt['error']}" if attempt["error"] else text
