"""Python programs of our own: found where the daemon's own code was, never in a folder that they run in."""

import sys
from pathlib import Path

FOLDER = Path("/")
"""Where they run. An empty or relative entry of PYTHONPATH would make modules of what lies in a folder of the app's."""


def module(name: str, *args: str) -> list[str]:
    """-P, not -I: slot-machine may be installed in the user's site-packages, or be found by PYTHONPATH."""
    return [sys.executable, "-P", "-m", name, *args]
