"""Where the edge's socket is. All users of the machine may connect: the kernel tells the edge who they are."""

import os
from pathlib import Path

OF_MACHINE = Path("/run/slot-machine-edge")
NAME = "edge.sock"


def own() -> Path:
    """That of an edge which this user starts. systemd names that of a service (systemd.exec(5))."""
    if given := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(given)
    return OF_MACHINE if os.geteuid() == 0 else _of_user()


def nearest() -> Path:
    """That of the machine if there is one, else of this user. Only root can make a folder in /run."""
    return (OF_MACHINE if (OF_MACHINE / NAME).exists() or os.geteuid() == 0 else _of_user()) / NAME


def _of_user() -> Path:
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(given if given.startswith("/") else f"/run/user/{os.geteuid()}") / "slot-machine-edge"
