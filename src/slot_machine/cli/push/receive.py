"""The hook that git calls in a push: it asks the daemon, shows the stages to the pusher, and tells git the outcome."""

import os
import sys
from collections.abc import Iterator
from typing import NoReturn

from slot_machine.cli import progress
from slot_machine.cli.client import Client, Json
from slot_machine.cli.push import protocol
from slot_machine.cli.push.presence import Presence, PusherLeft
from slot_machine.core.errors import ConfigError, SlotMachineError
from slot_machine.host import printing

WAIT = "wait"
"""The push option: `git push -o wait`."""
BY_VARIABLE = "SLOT_MACHINE_BY"
"""Who pushes, as the key says that `keys add` has added."""


def receive(client: Client) -> None:
    """As git's hook `proc-receive`. Raises ConfigError if somebody else calls it."""
    # Whatever else prints must not disturb what git reads.
    sent = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        push = protocol.read_push(sys.stdin.buffer, sent)
    except (protocol.Broken, ValueError) as error:
        raise ConfigError(f"this is git's hook, and not git calls it: {error}", "`git push` does") from None
    refs = [update.ref for update in push.updates]
    try:
        with Presence():
            reply = _asked(client, push)
    except PusherLeft:
        os._exit(1)  # What could not be printed is left behind.
    except SlotMachineError as error:
        _tell_error(str(error), error.hint)
        protocol.send_results(sent, push.updates, dict.fromkeys(refs, "nothing was deployed"), "")
        return
    reasons, done = _outcome(reply, refs)
    _tell_others(reply, refs)
    protocol.send_results(sent, push.updates, reasons, done)


def _asked(client: Client, push: protocol.Push) -> Json:
    """Shows the progress. Raises SlotMachineError, PusherLeft."""
    for option in push.options:
        if option != WAIT:
            printing.note(f"push option {option!r} is ignored: there is only {WAIT!r}")
    updates = [update._asdict() for update in push.updates]
    by, wait = os.environ.get(BY_VARIABLE, ""), WAIT in push.options
    lines = client.push(updates, by=by, wait=wait, atomic=push.atomic)
    return progress.follow(_seen(lines), progress.Plain())


def _seen(lines: Iterator[Json]) -> Iterator[Json]:
    for line in lines:
        if line.get("stage") == WAIT and line["event"] == "started":
            printing.note(f"waiting {line['message']}")
        yield line


def _outcome(reply: Json, refs: list[str]) -> tuple[dict[str, str], str]:
    """Why which refs are refused, and which one the daemon has updated."""
    branch = f"refs/heads/{reply.get('branch')}"
    refused = reply.get("refused")
    reasons = {str(ref): str(why) for ref, why in refused.items()} if isinstance(refused, dict) else {}
    if reply.get("success") is False:
        stage = f"{reply['stage']}: " if reply.get("stage") else ""
        error = f"{stage}{reply.get('error', '')}"
        _tell_error(error, str(reply.get("hint", "")))
        if "branch" not in reply:
            return dict.fromkeys(refs, error), ""
        if stage:
            _tell_what_next(reply)
        return reasons | {branch: error}, ""
    if not reply.get("deployed"):
        return reasons, ""
    already = " already, and nothing was done" if reply.get("already_live") else ""
    printing.note(f"{str(reply['commit'])[:8]} is live in slot {reply['slot']}{already}")
    return reasons, branch


def _tell_what_next(reply: Json) -> None:
    printing.note(f"{reply['branch']} stays at what is live; the server has stored the commit.")
    printing.note("To try it once more, push again, or run `slot-machine deploy COMMIT` there.")


def _tell_others(reply: Json, refs: list[str]) -> None:
    branch, refused = reply.get("branch"), reply.get("refused")
    refused = refused if isinstance(refused, dict) else {}
    for ref in refs if branch else ():
        if ref in refused:
            printing.note(f"{ref.removeprefix('refs/heads/')}: {refused[ref]}")
        elif ref != f"refs/heads/{branch}":
            name = ref.removeprefix("refs/heads/")
            printing.note(f"{name}: stored, not deployed; the deployed branch is {branch}")


def _tell_error(error: str, hint: str) -> None:
    printing.note(f"error: {error}")
    if hint:
        printing.note(f"hint: {hint}")


def tell_of_shallow() -> NoReturn:
    """As git's hook `pre-receive`: git refuses commits whose parents are missing, and does not say what to do."""
    import subprocess

    for line in sys.stdin:
        _, new, ref = line.rstrip("\n").split(" ", 2)
        argv = ["git", "rev-list", "--quiet", new, "--not", "--all"]
        if new.strip("0") and subprocess.run(argv, capture_output=True, check=False).returncode:
            printing.note(f"{ref.removeprefix('refs/heads/')}: the clone is shallow, so nothing was deployed")
            printing.note("hint: push from a whole clone: `git fetch --unshallow`; in a CI job, `fetch-depth: 0`")
    sys.exit(0)
