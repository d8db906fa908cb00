"""How our own Python programs are started: they import the daemon's code and nothing from their current folder."""

import sys
from pathlib import Path

FOLDER = Path("/")
"""Where they run. An empty or relative entry in PYTHONPATH would import from the current folder."""


def module(name: str, *args: str) -> list[str]:
    """Uses -P, not -I, because slot-machine may lie in the user's site-packages or on PYTHONPATH."""
    return [sys.executable, "-P", "-m", name, *args]
