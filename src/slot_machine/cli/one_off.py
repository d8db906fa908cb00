"""`run`: asks the daemon in which folder, environment and with whose rights, and runs the command there."""

import os
import pwd
from collections.abc import Sequence
from typing import cast

from slot_machine.cli.client import Client, Json
from slot_machine.core.errors import Refused
from slot_machine.host.process import foreground
from slot_machine.host.process.foreground import NOT_FOUND, CannotRun, Whose
from slot_machine.host.user import account

ROOT = 0
NO_SHELLS = ("nologin", "false")


def run(client: Client, words: Sequence[str], reply: Json) -> int:
    """The exit code. Without `words`, a shell. `reply` is the daemon's. Raises Refused, CannotRun."""
    whose = _whose(reply, client.daemon_uid)
    folder = str(reply["folder"])
    env = {**cast(dict[str, str], reply["environment"]), "PWD": folder}
    if any(map(os.isatty, range(3))) and "TERM" in os.environ:
        env["TERM"] = os.environ["TERM"]
    command = list(words) or [_shell(env)]
    try:
        return foreground.run(command, folder, env, whose)
    except CannotRun as error:
        if error.code == NOT_FOUND and len(command) == 1 and " " in command[0]:
            hint = f"give each word alone, or let a shell split them: slot-machine run -- sh -c '{command[0]}'"
            raise CannotRun(str(error), error.code, hint) from None
        raise


def _whose(reply: Json, daemon_uid: int | None) -> Whose:
    """Root believes only root's daemon. Of another user's daemon it takes that user, and nothing else.

    Raises Refused.
    """
    uid, gid, umask = (int(cast(int, reply[name])) for name in ("uid", "gid", "umask"))
    if daemon_uid is None:
        raise Refused("the daemon did not answer over the socket in its data folder")
    if daemon_uid not in (ROOT, uid):
        raise Refused(f"the daemon of {account.name(daemon_uid)} names {account.name(uid)} as the app's user")
    if os.geteuid() not in (ROOT, uid):
        raise Refused(f"the app's user is {account.name(uid)}", f"run this command as {account.name(uid)}, or as root")
    if daemon_uid == ROOT:
        return Whose(uid, gid, cast(list[int], reply["groups"]), umask)
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Whose(uid, gid if os.geteuid() == uid else uid, (), umask)
    return Whose(uid, entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid), umask)


def _shell(env: dict[str, str]) -> str:
    shell = env.get("SHELL", "")
    return shell if shell and os.path.basename(shell) not in NO_SHELLS else "/bin/sh"


def name_of(words: Sequence[str]) -> str:
    """For the daemon's words: not the arguments, which may be secret."""
    return os.path.basename(words[0]) if words else "a shell"
