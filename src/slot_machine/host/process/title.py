"""What `ps` and `top` show of our own processes.

The command line in memory is overwritten (proc_pid_cmdline(5)). setproctitle would overwrite the environment as well,
where adoption reads the mark of a process.
"""

import os
from contextlib import suppress

COMM = "slot-machine"
ARG_START, ARG_END = 45, 46
"""Fields 48 and 49 of /proc/PID/stat in proc_pid_stat(5), counted from the third one on."""


def show(app: str, part: str) -> None:
    """`slot-machine: shop (daemon)`. A name is cut if the command line was shorter. An obstacle is no error."""
    with suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        start, end = int(fields[ARG_START]), int(fields[ARG_END])
        memory = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(memory, fitted(app, part, end - start).ljust(end - start, b"\0"), start)
        finally:
            os.close(memory)
        with open("/proc/self/comm", "w") as file:
            file.write(COMM)


def fitted(app: str, part: str, room: int) -> bytes:
    """At most `room` bytes, the last of which is NUL: else the kernel shows the environment as well."""
    head, tail = b"slot-machine: ", f" ({part})".encode()
    name = os.fsencode(app)[: max(0, room - 1 - len(head) - len(tail))].decode(errors="ignore").encode()
    return (head + name + tail)[: max(0, room - 1)] + b"\0" * (room > 0)
