"""Tried by an app against its own daemon. Usage: python attack.py TARGETS. Prints as JSON what came of each attempt.

TARGETS is JSON: `names` in the data folder, `pids` of the daemon's processes, and its `api_port`. The working directory
is a tree in the data folder.
"""

import http.client
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

tree = Path.cwd()
data = tree.parent
targets = json.loads(sys.argv[1])
tried: dict[str, str] = {}


def attempt(what: str, deed: Callable[[], object]) -> None:
    try:
        deed()
        tried[what] = "done"
    except OSError as error:
        tried[what] = os.strerror(error.errno) if error.errno else repr(error)


def use(path: Path | str, flags: int) -> None:
    os.close(os.open(path, flags))


def connect(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(data / name))


def roll_back() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", targets["api_port"], timeout=10)
    connection.request("POST", "/rollback")
    if connection.getresponse().status == 401:
        raise PermissionError(1, "401")


def on_process(pid: int) -> None:
    for name in ("mem", "environ", "maps"):
        attempt(f"open {name} of {pid}", partial(use, f"/proc/{pid}/{name}", os.O_RDONLY))
    attempt(f"list descriptors of {pid}", partial(os.listdir, f"/proc/{pid}/fd"))
    for signum in (0, signal.SIGCONT, signal.SIGKILL):
        attempt(f"send signal {signum:d} to {pid}", partial(os.kill, pid, signum))


def on_file(name: str) -> None:
    attempt(f"read {name}", lambda: use(data / name, os.O_RDONLY))
    attempt(f"write {name}", lambda: use(data / name, os.O_WRONLY))
    attempt(f"connect to {name}", lambda: connect(name))


attempt("list the data folder", lambda: os.listdir(data))
attempt("make a file in it", (data / "mine").touch)
attempt("move its tree", lambda: tree.rename(data / "moved"))
attempt("move kept", lambda: (data / "kept").rename(data / "moved"))
attempt("remove a link", (data / "live").unlink)
attempt("read its log", partial(use, "/proc/self/fd/2", os.O_RDONLY))
attempt("roll back", roll_back)
for file in targets["names"]:
    on_file(file)
for process in targets["pids"]:
    on_process(process)
print(json.dumps(tried))
