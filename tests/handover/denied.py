"""`python denied.py CALL COMMAND...`: runs COMMAND where that system call fails with EPERM, as in many containers."""

import ctypes
import os
import struct
import sys

from slot_machine.handover import seccomp

FAILS_WITH_EPERM = 0x00050001


def deny(call: str) -> None:
    code = (
        (seccomp.LOAD, 0, 0, seccomp.NR),
        (seccomp.JUMP_EQUAL, 0, 1, seccomp.numbers()[call]),
        (seccomp.RETURN, 0, 0, FAILS_WITH_EPERM),
        (seccomp.RETURN, 0, 0, seccomp.ALLOW),
    )
    buffer = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in code))
    seccomp.libc.prctl(seccomp.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
    seccomp.system_call("seccomp", seccomp.SET_MODE_FILTER, 0, program)


if __name__ == "__main__":
    deny(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])
