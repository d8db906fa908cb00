"""`python -I -S wrapper.py SOCKET LINE BECOME COMMAND...` becomes COMMAND; the keeper at SOCKET decides on its binds.

LINE is what it says to the keeper. The process id, the folder and the environment stay as they are, where BECOME is
empty. Else it is `UID:GID:GROUPS:FD`: as that user COMMAND is run, with the environment that is in the file FD. Before
that, nothing of that environment counts, and the rights are the daemon's.
"""

import _socket  # socket itself takes longer to import than everything else here.
import os
import sys

sys.path.insert(0, os.path.abspath(f"{__file__}/../../.."))

from slot_machine.handover.seccomp import install, libc

MARK = b"SLOT_MACHINE_RUN"
"""`containment` has it, too, and takes longer to import."""

SIGNALS_IGNORED_BY_PYTHON = (13, 25)
"""SIGPIPE and SIGXFSZ, which exec(2) would pass on as ignored."""


def main(path: str, line: str, become: str, *command: str) -> None:
    try:
        _introduce(path, line.encode(), install())
    except OSError as error:
        sys.exit(f"slot-machine: cannot hand over the port: {error}")
    for number in SIGNALS_IGNORED_BY_PYTHON:
        libc.signal(number, None)
    os.execve(command[0], command, _as_another(*become.split(":")) if become else _environment())


def _introduce(path: str, line: bytes, notifications: int) -> None:
    """By way of /proc, as a socket's path may only have 107 bytes (unix(7))."""
    folder = os.open(os.path.dirname(path), os.O_PATH)
    keeper = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    keeper.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, notifications.to_bytes(4, sys.byteorder))
    keeper.sendmsg([line + b"\n"], [rights])


def _as_another(uid: str, gid: str, groups: str, fd: str) -> dict[bytes, bytes]:
    """Gives up the daemon's rights. The mark is the only thing that stays of its environment."""
    os.setgroups([int(group) for group in groups.split(",") if group])
    os.setgid(int(gid))
    os.setuid(int(uid))
    return _environment(int(fd)) | {MARK: os.environb[MARK]}


def _environment(source: str | int = "/proc/self/environ") -> dict[bytes, bytes]:
    """As it came: Python itself adds LC_CTYPE where the locale is C."""
    with open(source, "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
        return {name: value for name, _, value in pairs}


if __name__ == "__main__":
    main(*sys.argv[1:])
