"""What to do when a remote does not let git in: whose keys and credentials were tried."""

import os
from typing import NamedTuple

from slot_machine.host.process.environment import of_commands
from slot_machine.host.user import rights

AGENT = "SSH_AUTH_SOCK"


class Hint(NamedTuple):
    pattern: str
    hint: str


HINTS = (
    Hint("Host key verification failed", "add the key of that host to the known_hosts of {user}: docs/follow.md"),
    Hint("terminal prompts disabled", "git has no credentials for it: give {user} a credential helper, or use ssh"),
    Hint("Authentication failed", "the credentials of {user} are not accepted: renew the token, or use ssh"),
)


def hint(err: str) -> str:
    """For what git has printed; empty if it says nothing of that."""
    env = of_commands()
    user = env.get("USER") or f"user {os.geteuid()}"
    if "Permission denied (publickey" in err:
        return f"{_agent(env.get(AGENT, ''))}: give {user} a key that the remote accepts"
    return next((hint.format(user=user) for pattern, hint in HINTS if pattern in err), "")


def _agent(socket: str) -> str:
    """What there is of an ssh agent."""
    if not socket:
        clean = ", which has a clean environment" if rights.other() else ""
        return f"no ssh agent: {AGENT} is not set for git{clean}"
    return f"the ssh agent at {socket} {'has no such key' if os.path.exists(socket) else 'is gone'}"
