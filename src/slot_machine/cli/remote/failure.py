"""What a failure of ssh or of the server's slot-machine means, and what to do."""

from collections.abc import Sequence

from slot_machine import __version__
from slot_machine.core.errors import ConnectionLost, RemoteFailed
from slot_machine.core.hosts import Server

NOT_FOUND = 127
WRONG_USAGE = 2

HINTS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its key is another one than before: find out why before you go on; `ssh-keygen -R` forgets the old key",
    ),
    (
        "Host key verification failed",
        "its key is not known here: connect once by `ssh {host}` and compare the fingerprint, or add the key to"
        " known_hosts",
    ),
    ("Permission denied", "it takes none of your keys: `ssh {host}` must work without a password"),
    ("Connection refused", "no ssh server listens there: check the host and the port"),
    ("timed out", "nothing answers there: check the address, the firewall and the network"),
    ("No route to host", "check the address and the network"),
    ("Could not resolve hostname", "check the name, and `Host` in ~/.ssh/config"),
    ("Too many authentication failures", "name one key for it: IdentityFile and IdentitiesOnly in ~/.ssh/config"),
)
"""What ssh says, and what to do."""
LOST = ("closed by", "reset by", "Broken pipe", "not responding")


def of_ssh(server: Server, said: Sequence[str]) -> RemoteFailed:
    """`said` are the lines that ssh has printed. There are none if the connection was lost."""
    for sign, hint in HINTS:
        if any(sign in line for line in said):
            why = next(line for line in reversed(said) if line)
            return RemoteFailed(f"cannot connect to {server.host}: {why}", hint.format(host=server.host))
    if said and not any(sign in line for line in said for sign in LOST):
        return RemoteFailed(f"ssh to {server.host} failed: {said[-1]}", f"`ssh {server.host}` may tell more")
    why = f": {said[-1]}" if said else ""
    return ConnectionLost(
        f"the connection to {server.host} was lost{why}",
        f"what the daemon has begun goes on: `slot-machine --host {server.host} status` tells",
    )


def silent(server: Server, code: int) -> RemoteFailed:
    return RemoteFailed(
        f"slot-machine on {server.host} ended with exit code {code} and gave no answer",
        f"`slot-machine --host {server.host} status` tells what is live",
    )


def missing(server: Server) -> RemoteFailed:
    return RemoteFailed(
        f"{server.host} has no {server.program}, or its shell does not find it",
        'install slot-machine there for all users, or give its path as "program" in hosts.json',
    )


def outdated(server: Server, said: str = "") -> RemoteFailed:
    return RemoteFailed(
        f"slot-machine on {server.host} did not understand this{f': {said}' if said else ''}",
        f"it may be older than {__version__} here: upgrade it, then `slot-machine --host {server.host} reload`",
    )
