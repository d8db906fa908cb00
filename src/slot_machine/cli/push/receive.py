"""The hook that git calls in a push: it asks the daemon, shows the stages to the pusher, and tells git the outcome."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from slot_machine.cli import progress
from slot_machine.cli.client import Client, Json
from slot_machine.cli.push import protocol
from slot_machine.cli.push.presence import Presence, PusherLeft
from slot_machine.core.errors import ConfigError, SlotMachineError
from slot_machine.host import printing

WAIT = "wait"
"""The push option: `git push -o wait`."""
HOLD = "hold"
"""What people may expect to be one. The version must not go live then."""
HOLD_HINT = "push another branch, and run `slot-machine deploy --hold BRANCH` on the server"
BY_VARIABLE = "SLOT_MACHINE_BY"
"""Who pushes, as the key says that `keys add` has added."""


def receive(client: Client, config: str) -> None:
    """As git's hook `proc-receive`. `config` is the daemon's file. Raises ConfigError if somebody else calls it."""
    # Whatever else prints must not disturb what git reads.
    sent = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        push = protocol.read_push(sys.stdin.buffer, sent)
    except (protocol.Broken, ValueError) as error:
        raise ConfigError(f"this is git's hook, and not git calls it: {error}", "`git push` does") from None
    refs = [update.ref for update in push.updates]
    if HOLD in push.options:
        _tell_error("a push holds no version, because the branch is at what is live", HOLD_HINT)
        protocol.send_results(sent, push.updates, dict.fromkeys(refs, "nothing was deployed"), "")
        return
    stages = set[object]()
    try:
        with Presence():
            reply = _asked(client, push, stages)
    except PusherLeft:
        os._exit(1)  # What could not be printed is left behind.
    except SlotMachineError as error:
        start = f"slot-machine start --config {shlex.quote(config)}"
        _tell_error(str(error), error.hint.replace("slot-machine start", start))
        why = "nothing was deployed"
        if stages - {WAIT}:
            why = "the daemon ended in the deploy"
            printing.note("Start it again, and fetch: the branch is at what is live. Then push again if it has to.")
        protocol.send_results(sent, push.updates, dict.fromkeys(refs, why), "")
        return
    reasons, done = _outcome(reply, refs)
    _tell_others(reply, push.updates)
    protocol.send_results(sent, push.updates, reasons, done)


def _asked(client: Client, push: protocol.Push, stages: set[object]) -> Json:
    """Shows the progress, and adds to `stages` those that it has seen. Raises SlotMachineError, PusherLeft."""
    for option in push.options:
        if option != WAIT:
            printing.note(f"push option {option!r} is ignored: there is only {WAIT!r}")
    updates = [update._asdict() for update in push.updates]
    by, wait = os.environ.get(BY_VARIABLE, ""), WAIT in push.options
    lines = client.push(updates, by=by, wait=wait, atomic=push.atomic)
    return progress.follow(_seen(lines, stages), progress.Plain())


def _seen(lines: Iterator[Json], stages: set[object]) -> Iterator[Json]:
    for line in lines:
        stages |= {line.get("stage", WAIT)}
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


def _tell_others(reply: Json, updates: Sequence[protocol.Update]) -> None:
    branch, refused = reply.get("branch"), reply.get("refused")
    refused = refused if isinstance(refused, dict) else {}
    for ref, _, new in updates if branch else ():
        name = ref.removeprefix("refs/heads/")
        if ref in refused:
            printing.note(f"{name}: {refused[ref]}")
        elif name != branch:
            what = "stored" if new.strip("0") else "deleted"
            printing.note(f"{name}: {what}, not deployed; the deployed branch is {branch}")


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
