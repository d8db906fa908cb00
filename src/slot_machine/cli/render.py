"""What all commands share. `status` must answer fast, so this module imports almost nothing."""

import json
import os
import sys

from slot_machine.cli import target
from slot_machine.cli.client import Client, Json
from slot_machine.host import printing

TYPE_CHECKING = False  # typing's own takes 3 ms to import.
if TYPE_CHECKING:
    from typing import NoReturn


def client() -> Client:
    """A client of the daemon that the command is about. Raises ConfigError."""
    return target.client()


def user() -> str:
    """The field `user` of the nearest slot-machine.json; empty if it is not set. Raises ConfigError."""
    return target.user()


def wants_json() -> bool:
    """Whether stdout must be one JSON document, on every path."""
    args = sys.argv[1:]
    return "--json" in (args[: args.index("--")] if "--" in args else args)


def fail_if_refused(reply: Json) -> None:
    if reply.get("success") is False:
        if wants_json():
            printing.result(json.dumps(reply))
            sys.exit(1)
        stage = f"{reply['stage']}: " if reply.get("stage") else ""
        fail(f"{stage}{reply.get('error', '')}", str(reply.get("hint", "")))


def fail(error: str, hint: str, exit_code: int = 1) -> "NoReturn":
    try:
        if wants_json():
            printing.result(json.dumps({"success": False, "error": error, "hint": hint}))
            sys.exit(exit_code)
        printing.note(f"error: {error}")
        if hint:
            printing.note(f"hint: {hint}")
    except OSError:
        pass  # stderr is closed.
    sys.exit(exit_code)


def nobody_reads() -> "NoReturn":
    """Exits after a BrokenPipeError, and keeps the interpreter from raising it again when it flushes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
