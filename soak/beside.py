"""What runs beside the soaked app. Writes what happens to it to a journal, a JSON object on a line.

Arguments: `release`, `worker`, `singleton` or `job`, the version that the configuration names, and the journal.
"""

import fcntl
import json
import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

JOB_S = 6.0
LAST_TASK_S = 1.5
DATABASE = "data/app.db"


def said(name: str) -> str:
    return Path(name).read_text().strip()


class Journal:
    def __init__(self, role: str, version: str, path: Path) -> None:
        self._path = path
        self._what = {
            "role": role,
            "pid": os.getpid(),
            "version": version,
            "found": said("version"),
            "commit": os.environ["SLOT_MACHINE_COMMIT"],
        }

    def write(self, event: str) -> None:
        line = json.dumps(self._what | {"event": event, "at_s": time.time()}) + "\n"
        with self._path.open("ab", buffering=0) as file:
            file.write(line.encode())


def migrate() -> None:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS writes (number INTEGER PRIMARY KEY, digest TEXT NOT NULL)")


def serve(journal: Journal, quiet: signal.Signals, stop: signal.Signals) -> None:
    while signal.sigwait({quiet, stop}) != stop:
        journal.write("quiet")
    journal.write("signal")
    time.sleep(random.uniform(0, LAST_TASK_S))


def main(role: str, version: str, path: Path) -> None:
    stop, quiet = signal.SIGTERM, signal.SIGUSR1
    signal.pthread_sigmask(signal.SIG_BLOCK, {stop, quiet})
    journal = Journal(role, version, path)
    journal.write("start")
    with path.with_suffix(f".{role}").open("ab") as lock:
        if role in ("singleton", "job"):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                journal.write("second")
        if role == "release":
            migrate()
        elif role != "job":
            serve(journal, quiet, stop)
        elif signal.sigtimedwait({stop}, random.uniform(0, JOB_S)):
            journal.write("signal")
        journal.write("end")
    if role == said("fault"):
        sys.exit("a table is missing")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
