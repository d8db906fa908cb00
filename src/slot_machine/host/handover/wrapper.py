"""`python -I -S wrapper.py SOCKET LINE COMMAND...`: becomes COMMAND, whose binds the keeper at SOCKET decides on.

LINE is what it says to the keeper. The process id, the folder and the environment stay as they are.
"""

import _socket  # socket itself takes longer to import than everything else here.
import os
import sys

sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))

from slot_machine.host.handover.seccomp import install, libc

SIGNALS_IGNORED_BY_PYTHON = (13, 25)
"""SIGPIPE and SIGXFSZ, which exec(2) would pass on as ignored."""


def main(path: str, line: str, *command: str) -> None:
    try:
        _introduce(path, line.encode(), install())
    except OSError as error:
        sys.exit(f"slot-machine: cannot hand over the port: {error}")
    for number in SIGNALS_IGNORED_BY_PYTHON:
        libc.signal(number, None)
    os.execve(command[0], command, _environment())


def _introduce(path: str, line: bytes, notifications: int) -> None:
    """By way of /proc, as a socket's path may only have 107 bytes (unix(7))."""
    folder = os.open(os.path.dirname(path), os.O_PATH)
    keeper = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    keeper.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, notifications.to_bytes(4, sys.byteorder))
    keeper.sendmsg([line + b"\n"], [rights])


def _environment() -> dict[bytes, bytes]:
    """As it came: Python itself adds LC_CTYPE where the locale is C."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
        return {name: value for name, _, value in pairs}


if __name__ == "__main__":
    main(*sys.argv[1:])
