"""How a process ended, in words."""

import signal

UNKNOWN_EXIT = 1 << 16
"""Stands for an exit code that nobody can know: an earlier daemon was the parent, and only a parent is told."""


def describe_exit(code: int) -> str:
    """`exit code 3`, or `killed by SIGTERM`."""
    if code == UNKNOWN_EXIT:
        return "ended, after it outlived the daemon that would have been told how"
    if code < 0:
        return f"killed by {_signal_name(-code)}"
    # /bin/sh exits with 128 + N if the program that it ran was killed by signal N.
    return f"exit code {code}" if code <= 128 else f"exit code {code}, killed by {_signal_name(code - 128)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
