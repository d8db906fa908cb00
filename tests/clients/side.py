"""A worker: notes in the folder of its first argument that it began, which signals it got, and that it ended.

It goes on for as many seconds after a stop signal as its second argument says; `held` is until the folder has a file
`finish`. A third argument is what it exits with, at once.
"""

import os
import signal
import sys
import time
from pathlib import Path

FOLDER = Path(sys.argv[1])
WORKS = sys.argv[2] if len(sys.argv) > 2 else "0"


def note(what: str) -> None:
    names = (
        os.environ["PROCESS"],
        os.environ["PROCESS_INDEX"],
        os.environ["SLOT_MACHINE_COMMIT"][:8],
        str(os.getpid()),
    )
    with (FOLDER / "notes").open("a") as file:
        file.write(" ".join((what, *names)) + "\n")


def stop(signum: int, _: object) -> None:
    note(signal.Signals(signum).name)
    if WORKS == "held":
        while not (FOLDER / "finish").exists():
            time.sleep(0.02)
    else:
        time.sleep(float(WORKS))
    note("ended")
    sys.exit(0)


signal.signal(signal.SIGTSTP, lambda *_: note("SIGTSTP"))
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
note("began")
print("this is", os.environ["PROCESS"], flush=True)
if len(sys.argv) > 3:
    print("Pidfile (beat.pid) already exists.", flush=True)
    sys.exit(int(sys.argv[3]))
while True:
    time.sleep(60)
