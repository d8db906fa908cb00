"""Process 1 of the namespaces of `apart`: prepares them, runs a command, and reaps. All others end with it."""

import os
import signal
import subprocess
import sys


def main(command: list[str]) -> int:
    for argv in (
        "mount --make-rprivate /",
        "mount -t tmpfs tmpfs /run",
        "mount -t tmpfs tmpfs /mnt",
        "mkdir -m 755 /run/sshd /run/lock",
        "ip link set lo up",
    ):
        subprocess.run(argv.split(), check=True)
    # A handler, unlike SIG_IGN, is not inherited.
    signal.signal(signal.SIGINT, lambda *_: None)
    process = subprocess.Popen(command)
    while True:
        pid, status = os.wait()
        if pid == process.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Does not wait for anything.
    os._exit(code if code >= 0 else 128 - code)
