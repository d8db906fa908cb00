"""Becomes Traefik, with listening sockets as systemd hands them over (sd_listen_fds(3)).

The arguments are the names and file descriptors of the sockets, `--`, and the command. Traefik ends with its edge.
"""

import ctypes
import os
import signal
import sys

FIRST = 3
SPARE = 200
"""Descriptors are moved out of the way to here before they get their places."""
PR_SET_PDEATHSIG = 1


def main(args: list[str]) -> None:
    sockets, command = args[: args.index("--")], args[args.index("--") + 1 :]
    pairs = [pair.rsplit("=", 1) for pair in sockets]
    for place, (_, fd) in enumerate(pairs):
        os.dup2(int(fd), SPARE + place)
    for place in range(len(pairs)):
        os.dup2(SPARE + place, FIRST + place)
        os.close(SPARE + place)
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent or parent == 1:
        sys.exit(1)
    os.closerange(FIRST + len(pairs), SPARE)
    # Files are templates that can read the environment, so there is nothing in it.
    env = {
        "PATH": "/usr/bin:/bin",
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(pairs)),
        "LISTEN_FDNAMES": ":".join(name for name, _ in pairs),
    }
    os.execve(command[0], command, env)


if __name__ == "__main__":
    main(sys.argv[1:])
