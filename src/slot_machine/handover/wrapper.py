"""`python -I -S wrapper.py SOCKET LINE BECOME COMMAND...` runs COMMAND with its binds answered by the keeper at SOCKET.

It sends LINE to the keeper, then executes COMMAND, with the same pid, folder and, if BECOME is empty, environment. Else
BECOME is `UID:GID:GROUPS:FD`: COMMAND runs as that user, with the environment from file descriptor FD. Until then the
process has the daemon's rights, and ignores that environment.
"""

import _socket  # `socket` takes longer to import than all else here.
import os
import sys

sys.path.insert(0, os.path.abspath(f"{__file__}/../../.."))

from slot_machine.handover.seccomp import install, libc

MARK = b"SLOT_MACHINE_RUN"
"""The same as in `containment`, which takes longer to import."""

SIGNALS_IGNORED_BY_PYTHON = (13, 25)
"""SIGPIPE and SIGXFSZ. Without a reset, COMMAND would inherit that they are ignored."""


def main(path: str, line: str, become: str, *command: str) -> None:
    try:
        _introduce(path, line.encode(), install())
    except OSError as error:
        sys.exit(f"slot-machine: cannot hand over the port: {error}")
    for number in SIGNALS_IGNORED_BY_PYTHON:
        libc.signal(number, None)
    os.execve(command[0], command, _as_another(*become.split(":")) if become else _environment())


def _introduce(path: str, line: bytes, notifications: int) -> None:
    """Uses a path in /proc, because an address has at most 107 bytes (unix(7))."""
    folder = os.open(os.path.dirname(path), os.O_PATH)
    keeper = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    keeper.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, notifications.to_bytes(4, sys.byteorder))
    keeper.sendmsg([line + b"\n"], [rights])


def _as_another(uid: str, gid: str, groups: str, fd: str) -> dict[bytes, bytes]:
    """Gives up the daemon's rights. Keeps only the mark of its environment."""
    os.setgroups([int(group) for group in groups.split(",") if group])
    os.setgid(int(gid))
    os.setuid(int(uid))
    return _environment(int(fd)) | {MARK: os.environb[MARK]}


def _environment(source: str | int = "/proc/self/environ") -> dict[bytes, bytes]:
    """The unchanged environment: in the C locale, Python adds LC_CTYPE to its own."""
    with open(source, "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
        return {name: value for name, _, value in pairs}


if __name__ == "__main__":
    main(*sys.argv[1:])
