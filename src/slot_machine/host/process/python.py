"""How our own Python programs are started: they import the daemon's code and nothing from their current folder."""

import sys
from pathlib import Path

FOLDER = Path("/")
"""Where they run. An empty or relative entry in PYTHONPATH would import from the current folder."""


def module(name: str, *args: str) -> list[str]:
    """Uses -P, not -I, because slot-machine may lie in the user's site-packages or on PYTHONPATH."""
    return [sys.executable, "-P", "-m", name, *args]


def this_one() -> list[str]:
    """How this process was started. `-P` keeps modules of the current folder out, which `-m` would import."""
    isolation = () if sys.flags.safe_path else ("-P",)
    return [sys.executable, *isolation, *sys.orig_argv[1:]]
