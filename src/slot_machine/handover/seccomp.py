"""A seccomp filter that reports the `bind` and `listen` calls of this process and its descendants. seccomp(2)

It runs before every start of the app, so it imports few modules.
"""

import ctypes
import os
import struct

NUMBERS = {
    "x86_64": {"arch": 0xC000003E, "bind": 49, "listen": 50, "seccomp": 317, "pidfd_getfd": 438},
    # From the kernel's tables; not tested.
    "aarch64": {"arch": 0xC00000B7, "bind": 200, "listen": 201, "seccomp": 277, "pidfd_getfd": 438},
}
"""System calls by architecture (`arch` as in linux/audit.h)."""

PR_SET_NO_NEW_PRIVS = 38
SET_MODE_FILTER = 1
NEW_LISTENER = 1 << 3
WAIT_KILLABLE_RECV = 1 << 5
"""Since Linux 5.19. Without it, the kernel repeats a `bind` that a signal has interrupted."""

LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
NR, ARCH, THIRD_ARGUMENT = 0, 4, 32
"""Offsets in struct seccomp_data, of a little-endian machine."""
SHORTEST_ADDRESS = 16
"""The size of a sockaddr_in. The netlink socket of getaddrinfo(3) has a shorter address, and is not reported."""

libc = ctypes.CDLL(None, use_errno=True)


def numbers() -> dict[str, int]:
    """Raises OSError on an architecture that is not in the table."""
    machine = os.uname().machine
    if machine not in NUMBERS:
        raise OSError(f"no system call numbers for {machine}")
    return NUMBERS[machine]


def system_call(name: str, *args: object) -> int:
    """Raises OSError."""
    result: int = libc.syscall(numbers()[name], *args)
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def install() -> int:
    """Installs the filter for good. Returns the file descriptor of its notifications. Raises OSError.

    Without CAP_SYS_ADMIN it sets NO_NEW_PRIVS: sudo and file capabilities then have no effect in the app.
    """
    try:
        return _install()
    except PermissionError:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return _install()


def _install() -> int:
    code = _filter()
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    try:
        return system_call("seccomp", SET_MODE_FILTER, NEW_LISTENER | WAIT_KILLABLE_RECV, program)
    except OSError as error:
        if error.errno != 22:
            raise
        return system_call("seccomp", SET_MODE_FILTER, NEW_LISTENER, program)


def _filter() -> bytes:
    call = numbers()
    return b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (LOAD, 0, 0, ARCH),
            (JUMP_EQUAL, 0, 5, call["arch"]),
            (LOAD, 0, 0, NR),
            (JUMP_EQUAL, 4, 0, call["listen"]),
            (JUMP_EQUAL, 0, 2, call["bind"]),
            (LOAD, 0, 0, THIRD_ARGUMENT),
            (JUMP_GREATER_EQUAL, 1, 0, SHORTEST_ADDRESS),
            (RETURN, 0, 0, ALLOW),
            (RETURN, 0, 0, NOTIFY),
        )
    )
