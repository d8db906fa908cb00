"""Where things are in an image of ours, and how its process 1 is called."""

SHIM = "/slot-machine/shim.sh"
SHARED = "/slot-machine/data"
USER = 10001
"""The number of the user that the app runs as, and of its group."""
STOP_SIGNAL = "SLOT_MACHINE_STOP_SIGNAL"


def run(words: str) -> list[str]:
    return [SHIM, "run", words]


def worker(words: str) -> list[str]:
    return [SHIM, "worker", words]


def health(path: str, statuses: range, host: str, port: int) -> list[str]:
    """Asks the app on that port. Its exit code says whether it is healthy, and its output why not."""
    asked = ["health", path, f"{statuses[0]}-{statuses[-1]}", *([host] if host else [])]
    return ["/usr/bin/env", f"PORT={port}", SHIM, *asked]
